"""GR-1's debug twin: its queries are seen by nobody, video alone trains it, and one pass over the newest frame acts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.recorded import ACTIONS, CHUNK, moving_square

from presage.systems.gr1 import FUTURE, LIMITS, answers, foresees, gr1
from presage.systems.lab.probes import Pairs
from presage.systems.system import DEBUG
from presage.timeline.session import Session
from presage.training.recorded import shape_of
from presage.training.stage import train_stages

RECORDED = moving_square(episodes=8)
DATA = {"labelled": RECORDED, "free": moving_square(seed=1).without_labels(range(6))}


@pytest.mark.parametrize("past", [0, 2])
def test_a_debug_twin_trains_and_acts(past: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    system = gr1(shape_of(RECORDED), DEBUG, past=past)
    assert [s.name for s in system.stages] == ["codec", "video", "robot"]
    model = train_stages(system.build(shape_of(RECORDED)), system.stages, DATA, tmp_path, {}, quiet=True)
    for use in system.uses.values():
        policy = use(model, 0)
        policy.reset(["move", "move"])
        for rows in ([0, 8], [1, 9]):
            seen = {"image.front": RECORDED.frames["image.front"][rows], "state": RECORDED.state[rows]}
            chunk = policy.act(seen)
            assert chunk.shape == (2, CHUNK, ACTIONS) and np.isfinite(chunk).all()
    assert list(foresees(model, Pairs.of(RECORDED, 6))) == list(LIMITS)


def test_video_teaches_it_nothing_of_actions_and_the_robot_both(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = shape_of(RECORDED)
    system = gr1(shape, DEBUG)
    model = system.build(shape)
    outputs = model.network.get_submodule("network.outputs")
    first = {name: x.clone() for name, x in outputs.state_dict().items()}
    train_stages(model, system.stages, DATA, tmp_path, {}, only="codec", quiet=True)
    train_stages(model, system.stages[:2], DATA, tmp_path, {}, quiet=True)
    assert torch.equal(outputs.state_dict()["action.bias"], first["action.bias"])
    assert not torch.equal(outputs.state_dict()["future_front.bias"], first["future_front.bias"])
    train_stages(model, system.stages, DATA, tmp_path, {}, only="robot", quiet=True)
    assert not torch.equal(outputs.state_dict()["action.bias"], first["action.bias"])


def test_what_a_query_says_does_not_follow_other_queries_and_actions_are_never_seen() -> None:
    torch.manual_seed(0)
    shape = shape_of(RECORDED)
    model, less = (gr1(shape, DEBUG, futures=f, past=2).build(shape).eval() for f in (True, False))
    torch.nn.init.normal_(model.network.get_submodule("network.outputs.action").weight)
    less.load_state_dict({k: x for k, x in model.state_dict().items() if "future" not in k})
    pairs = Pairs.of(RECORDED, 6)
    torch.testing.assert_close(answers(model, pairs)["action"], answers(less, pairs)["action"])
    session = Session(model, ["move"])
    seen = [{"image.front": RECORDED.frames["image.front"][[i]], "state": RECORDED.state[[i]]} for i in (0, 1)]
    said = []
    for chunk in (RECORDED.action[[0]], RECORDED.action[[5]]):
        session.observe(seen[0])
        said.append(session.observe(seen[1], chunk).answers)
        session.rewind(0)
    torch.testing.assert_close(*(x[FUTURE + "front"] for x in said))
