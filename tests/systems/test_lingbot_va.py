"""The debug twin of LingBot-VA trains, acts at every delay, and its check says what its arms say."""

from pathlib import Path

import numpy as np
import pytest

from presage.networks.composed import Composed
from presage.systems.arms import shape_of
from presage.systems.check import Arm
from presage.systems.delays import late
from presage.systems.lingbot_va import lingbot_va, objective, verdict
from presage.systems.system import DEBUG
from presage.training.recorded import Recorded, batch_of
from presage.training.stage import train_stages
from tests.recorded import moving_square


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return moving_square(cameras=("image.front",))


@pytest.fixture(scope="module")
def model(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Composed:
    system = lingbot_va(shape_of(recorded), DEBUG)
    free = recorded.without_labels(range(6))
    folder = tmp_path_factory.mktemp("lingbot")
    return train_stages(system.build(shape_of(recorded)), system.stages, {"labelled": recorded, "free": free}, folder, {}, quiet=True)


@pytest.mark.parametrize(("use", "imagined"), [("policy", 0), ("naive", 0), ("grounded", 1)])
def test_it_acts_in_each_use(model: Composed, recorded: Recorded, use: str, imagined: int) -> None:
    policy = lingbot_va(shape_of(recorded), DEBUG).uses[use](model, 0)
    policy.reset(["move", "move"])
    for row in range(3):
        seen = {"image.front": recorded.frames["image.front"][[row, row + 8]], "state": recorded.state[[row, row + 8]]}
        chunk = policy.act(seen)
        assert chunk.shape == (2, *model.chunk_shape) and np.isfinite(chunk).all()
    assert sum(b.imagined for b in policy.session.blocks) == imagined  # type: ignore[attr-defined]
