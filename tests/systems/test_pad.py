"""PAD's debug twin: it trains on labels and free video and acts; and the page that shows how it was added is right."""

import re
from pathlib import Path

import numpy as np
import torch
from tests.recorded import batch_of, moving_square

from presage.systems import pad as recipe
from presage.systems.lab.probes import Pairs
from presage.systems.pad import JOINT, LIMITS, pad, reads
from presage.systems.system import DEBUG
from presage.training.recorded import Recorded, shape_of
from presage.training.stage import train_stages

ROOT = Path(__file__).parents[2]


def data() -> dict[str, Recorded]:
    return {"labelled": moving_square(), "free": moving_square(seed=1).without_labels(range(6))}


def test_it_trains_and_acts(tmp_path: Path) -> None:
    kinds = data()
    shape = shape_of(kinds["labelled"])
    system = pad(shape, DEBUG)
    model = train_stages(system.build(shape), system.stages, kinds, tmp_path, {}, quiet=True)
    observation = {"image.front": kinds["labelled"].frames["image.front"][:3], "state": np.zeros((3, 2), np.float32)}
    for use in system.uses.values():
        policy = use(model, 0)
        policy.reset(["move"] * 3)
        chunk = policy.act(observation)
        assert chunk.shape == (3, 2, 2) and np.isfinite(chunk).all()
    assert list(reads(model, Pairs.of(kinds["labelled"], 6))) == list(LIMITS)


def test_all_that_is_denoised_shares_a_level_and_an_unknown_chunk_is_not_scored() -> None:
    kinds = data()
    shape = shape_of(kinds["labelled"])
    model, rows = pad(shape, DEBUG).build(shape), np.array([[0, 1], [8, 9]])
    drawn = np.zeros(2, int), rows, np.zeros((2, 2), bool)
    assert JOINT.levels is not None
    levels = JOINT.levels.draw(model.streams, 8, 1, torch.Generator().manual_seed(0))
    assert set(levels) == {"action", "image.front"} and torch.equal(levels["action"], levels["image.front"])
    for kind, counted in (("labelled", 2), ("free", 0)):
        terms = JOINT(model, batch_of(model, [kinds[kind]], drawn), torch.Generator().manual_seed(0))
        assert {name: int(term.weight.sum()) for name, term in terms.items()} == {"action": counted, "image.front": 2}


def test_the_page_on_adding_a_system_shows_these_two_files() -> None:
    page = (ROOT / "docs" / "add_a_system.md").read_text()
    shown = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    written = Path(recipe.__file__).read_text() + Path(__file__).read_text()
    assert len(shown) >= 6 and [block for block in shown if block not in written] == []
