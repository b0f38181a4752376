"""Probes of single rows: which cell is the true one, and what blind luck is worth."""

import numpy as np
import torch
from tests.recorded import moving_square

from presage.systems.lab.goals import Goal
from presage.systems.lab.reaching import CAMERA, GRID, cells, chance, shuffled, true_cell, within
from presage.systems.system import DEBUG
from presage.systems.vjepa2_ac import vjepa2_ac
from presage.timeline.session import Session
from presage.training.recorded import shape_of


def goal_of(*action: float) -> Goal:
    path = np.tile(np.array(action, np.float32), (1, 4, 1))
    picture = np.zeros((16, 16, 3), np.uint8)
    state, before = np.zeros(4, np.float32), {"picture": picture, "state": np.zeros(4), "action": path[0]}
    return Goal("push-v3", b"", picture, state, picture, path, np.zeros(3), np.zeros(3), False, before)


def test_the_true_cell_is_the_nearest_one() -> None:
    assert len(cells()) == 7 * 7 * 3 and cells()[0].tolist() == [-1, -1, -1]
    for action in ((0.0, 0.0, 0.0, 1.0), (1.0, -1.0, 0.4, 0.0), (0.35, -0.6, -1.4, 0.0)):
        cell = np.ravel_multi_index(true_cell(goal_of(*action)), GRID)
        apart = np.abs(cells() - np.clip(action[:3], -1, 1))
        assert (apart[cell] <= apart.min(0) + 1e-6).all()
    middle, corner = chance(goal_of(0, 0, 0, 0)), chance(goal_of(1, 1, 1, 0))
    np.testing.assert_allclose((middle, corner), (3 / 7 * 3 / 7, 2 / 7 * 2 / 7 * 2 / 3))


def test_the_best_cell_counts_within_one_of_the_true_one() -> None:
    play = moving_square(4, cameras=(f"image.{CAMERA}",))
    shape = shape_of(play)
    model = vjepa2_ac(shape, DEBUG).build(shape).eval()

    class Four:
        """A robot of four numbers, whose pictures say nothing."""

        def __getattr__(self, name: str) -> object:
            return getattr(model, name)

        def encode_action(self, chunk: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(chunk.reshape(len(chunk), 1, -1))

        def encode(self, observation: dict[str, np.ndarray], executed: np.ndarray | None = None) -> dict:
            return model.encode(observation | {"state": np.zeros((1, 2), np.float32)})

    def nearest(*wish: float):  # noqa: ANN202
        def score(session: Session, candidates: torch.Tensor) -> torch.Tensor:
            return -(candidates[:, :, 0, :3] - torch.tensor(wish)).abs().sum(-1)

        return score

    done = goal_of(0.33, -0.67, 0.0, 1.0)
    assert within(Four(), nearest(0.66, -0.33, 1.0), done)  # type: ignore[arg-type]
    assert not within(Four(), nearest(1.0, -0.67, 0.0), done)  # type: ignore[arg-type]


def test_shuffled_actions_are_the_same_actions_elsewhere() -> None:
    play = moving_square(4)
    other = shuffled(play)
    assert not np.array_equal(other.action, play.action)
    np.testing.assert_array_equal(np.sort(other.action.ravel()), np.sort(play.action.ravel()))
    assert other.frames is play.frames
