"""Kinematics are taught alone: what an action does to the robot, with and without the step before."""

from pathlib import Path

import numpy as np
import pytest
import torch

from presage.networks.world_model import WorldModel
from presage.training.data import Rows
from presage.training.kinematics import KinematicsTraining, kinematics_loss, train_kinematics, triples
from tests.tiny import tiny_model
from tests.training.resuming import assert_resumes
from tests.training.test_dreams import small_rows

CONFIG = KinematicsTraining(steps=300, batch=64, save_every=100)


def moving_rows(model: WorldModel) -> Rows:
    """The hand goes half of the way that the chunk says, and half of the way that it went before."""
    rows = small_rows(model, [20] * 20)
    for start in rows.start:
        for t in range(start, start + 19):
            before = rows.state[t] - rows.state[t - 1] if t > start else 0.0
            rows.state[t + 1] = rows.state[t] + 0.5 * before + 0.05 * rows.action[t, :4]
    return rows


def errors(model: WorldModel, rows: Rows) -> tuple[float, float]:
    """Mean absolute error of the third row of every episode, knowing the first or not."""
    assert model.kinematics is not None
    at = rows.start
    state, action = torch.from_numpy(rows.state), torch.from_numpy(rows.action)
    past = (state[at], action[at], torch.ones(len(at)))
    told = model.kinematics(state[at + 1], action[at + 1], past)
    untold = model.kinematics(state[at + 1], action[at + 1])
    return tuple((x - state[at + 2]).abs().mean().item() for x in (told, untold))  # type: ignore[return-value]


def test_untaught_nothing_moves() -> None:
    model = tiny_model()
    assert model.kinematics is not None
    torch.nn.init.zeros_(model.kinematics.output.weight)
    state = torch.randn(3, 4)
    torch.testing.assert_close(model.kinematics(state, torch.randn(3, 16)), state)


def test_it_learns_what_actions_do_and_uses_the_step_before_where_it_is_known(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model = tiny_model()
    rows = moving_rows(model)
    still = float(np.abs(rows.state[rows.start + 2] - rows.state[rows.start + 1]).mean())
    train_kinematics(model, [(rows, 1.0)], CONFIG, tmp_path)
    told, untold = errors(model, rows)
    assert told < 0.25 * still and told < 0.7 * untold < 0.7 * still


def test_chunks_that_were_not_executed_and_padding_teach_nothing() -> None:
    model = tiny_model()
    assert model.kinematics is not None
    rows = small_rows(model, [4, 4])
    drawn = (np.zeros(1, int), np.array([[3, 3, 3]]), np.array([[False, True, True]]))
    assert kinematics_loss(model.kinematics, triples([rows], drawn)) == 0
    drawn = (np.zeros(1, int), np.array([[0, 1, 2]]), np.zeros((1, 3), bool))
    assert kinematics_loss(model.kinematics, triples([rows], drawn)) > 0
    rows.action_valid[:] = False
    assert kinematics_loss(model.kinematics, triples([rows], drawn)) == 0


def test_killed_between_two_saves_and_repeated_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)

    def taught(out: Path) -> dict[str, torch.Tensor]:
        model = tiny_model()
        train_kinematics(model, [(moving_rows(model), 1.0)], CONFIG, out)
        assert model.kinematics is not None
        return model.kinematics.state_dict()

    assert_resumes(taught, tmp_path, monkeypatch)


def test_a_robot_without_a_state_has_none(tmp_path: Path) -> None:
    model = tiny_model()
    model.kinematics = None
    train_kinematics(model, [], CONFIG, tmp_path / "none")
    assert not (tmp_path / "none").exists()
