"""Goal cloning: the target is what was done first, and the goal is a later row of the same window."""

import numpy as np
import torch

from presage.networks.composed import Composed
from presage.networks.goal_policy import GoalPolicy
from presage.systems.system import DEBUG
from presage.systems.vjepa2_ac import vjepa2_ac
from presage.timeline.streams import Stream
from presage.training.batch import Batch
from presage.training.objectives.clone_goals import CloneGoals
from presage.training.recorded import encoded, shape_of
from tests.recorded import batch_of, moving_square

PLAY = moving_square(2, rows=6)


def untrained() -> Composed:
    shape = shape_of(PLAY)
    return vjepa2_ac(shape, DEBUG).build(shape)


def windows(model: Composed, index: list[list[int]], pad: int = 0) -> Batch:
    rows = np.array(index)
    is_pad = np.zeros(rows.shape, bool)
    is_pad[:, rows.shape[1] - pad :] = True
    return batch_of(model, [encoded(model, PLAY)], (np.zeros(len(rows), int), rows, is_pad))


def test_the_target_is_what_was_done_at_the_first_row() -> None:
    model = untrained()
    batch = windows(model, [[0, 1, 2], [6, 7, 8]])
    asked: list[dict[str, torch.Tensor]] = []

    def knows(now: dict[str, torch.Tensor], goal: dict[str, torch.Tensor]) -> torch.Tensor:
        asked.append(goal)
        return now["action"][:, 0]

    model.parts["cloning"].forward = knows  # type: ignore[method-assign]
    terms = CloneGoals()(model, batch, torch.Generator().manual_seed(0))
    assert terms["cloning"].mean == 0
    for i, goal in enumerate(asked[0]["features"]):  # a later row of its own window
        assert any(torch.equal(goal, batch.values["features"][i, later]) for later in (1, 2))
        assert not torch.equal(goal, batch.values["features"][i, 0])


def test_padding_is_no_goal() -> None:
    model = untrained()
    terms = CloneGoals()(model, windows(model, [[5, 5, 5]], pad=2), torch.Generator())
    assert terms["cloning"].weight.tolist() == [[0.0]]


def test_the_policy_reads_both_pictures_and_the_state() -> None:
    torch.manual_seed(0)
    policy = GoalPolicy([Stream("seen", 4, 6)], [Stream("felt", 1, 3)], output=5, width=32)
    now = {"seen": torch.randn(2, 4, 6), "felt": torch.randn(2, 1, 3)}
    goal = {"seen": torch.randn(2, 4, 6)}
    said = policy(now, goal)
    assert said.shape == (2, 5)
    others = (({"seen": now["seen"] + 1, "felt": now["felt"]}, goal), ({**now, "felt": now["felt"] + 1}, goal),
              (now, {"seen": goal["seen"] + 1}))  # fmt: skip
    assert all(not torch.allclose(policy(*other), said) for other in others)
