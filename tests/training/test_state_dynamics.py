"""State dynamics are trained alone: what an action does to the robot, with and without the step before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import presage.training.state_dynamics as module
from presage.networks.world_model import WorldModel
from presage.training.data import Rows
from presage.training.state_dynamics import (
    FRESH,
    StateDynamicsTraining,
    Tracks,
    state_dynamics_loss,
    tracks,
    train_state_dynamics,
)
from tests.tiny import tiny_model
from tests.training.resuming import assert_resumes
from tests.training.test_dreams import small_rows

CONFIG = StateDynamicsTraining(steps=30, batch=32, save_every=10)


def moving_rows(model: WorldModel) -> Rows:
    """The hand goes half of the way that the chunk says, and half of the way that it went before."""
    rows = small_rows(model, [20] * 20)
    for start in rows.start:
        for t in range(start, start + 19):
            before = rows.state[t] - rows.state[t - 1] if t > start else 0.0
            rows.state[t + 1] = rows.state[t] + 0.5 * before + 0.05 * rows.action[t, :4]
    return rows


def errors(model: WorldModel, rows: Rows) -> tuple[float, float]:
    """Mean absolute error of the third row of every episode, remembering the first or not."""
    state_dynamics, at = model.state_dynamics, rows.start
    assert state_dynamics is not None
    state, action = torch.from_numpy(rows.state), torch.from_numpy(rows.action)
    blank = state_dynamics.blank(state[at])
    memory = state_dynamics.remember(state[at], action[at], state[at + 1], blank)
    found = [state_dynamics(state[at + 1], action[at + 1], m) for m in (memory, blank)]
    return tuple((x - state[at + 2]).abs().mean().item() for x in found)  # type: ignore[return-value]


def test_untaught_nothing_moves() -> None:
    model = tiny_model()
    assert model.state_dynamics is not None
    torch.nn.init.zeros_(model.state_dynamics.output.weight)
    state = torch.randn(3, 4)
    blank = model.state_dynamics.blank(state)
    torch.testing.assert_close(model.state_dynamics(state, torch.randn(3, 16), blank), state)


def test_it_learns_what_actions_do_and_uses_what_it_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr("presage.training.state_dynamics.ROWS", 6)  # short windows: no more is asked than the third row
    model = tiny_model()
    rows = moving_rows(model)
    still = float(np.abs(rows.state[rows.start + 2] - rows.state[rows.start + 1]).mean())
    train_state_dynamics(model, [(rows, 1.0)], replace(CONFIG, steps=300), tmp_path, {})
    told, untold = errors(model, rows)
    assert told < 0.25 * still and told < 0.7 * untold < 0.7 * still


def test_chunks_that_were_not_executed_and_padding_teach_nothing() -> None:
    model = tiny_model()
    assert model.state_dynamics is not None
    rows = small_rows(model, [4, 4])
    alone = torch.ones(1, dtype=torch.long)
    drawn = (np.zeros(1, int), np.array([[3, 3, 3]]), np.array([[False, True, True]]))
    assert state_dynamics_loss(model.state_dynamics, tracks([rows], drawn, np.zeros(1, bool)), alone) == 0
    drawn = (np.zeros(1, int), np.array([[0, 1, 2]]), np.zeros((1, 3), bool))
    assert state_dynamics_loss(model.state_dynamics, tracks([rows], drawn, np.zeros(1, bool)), alone) > 0
    rows.action_valid[1] = False
    assert tracks([rows], drawn, np.zeros(1, bool)).valid.tolist() == [[True, True, False]]


def test_a_fresh_window_begins_with_its_episode() -> None:
    rows = small_rows(tiny_model(), [5, 3, 4])
    drawn = (np.zeros(3, int), np.array([[1, 2, 3, 4], [6, 7, 7, 7], [8, 9, 10, 11]]), np.zeros((3, 4), bool))
    drawn[2][1, 2:] = True
    batch = tracks([rows], drawn, np.array([True, True, False]))
    np.testing.assert_array_equal(batch.state.numpy(), rows.state[[[0, 1, 2, 3], [5, 6, 7, 7], [8, 9, 10, 11]]])
    assert batch.valid.tolist() == [[True] * 4, [True, True, True, False], [True] * 4]


def test_windows_of_several_datasets_stay_in_the_order_in_which_they_were_drawn() -> None:
    one, other = (small_rows(tiny_model(), [3]) for _ in range(2))
    one.state[:], other.state[:] = 1.0, 2.0
    drawn = (np.array([1, 0, 1]), np.tile(np.arange(3), (3, 1)), np.zeros((3, 3), bool))
    batch = tracks([one, other], drawn, np.zeros(3, bool))
    assert batch.state[:, 0, 0].tolist() == [2.0, 1.0, 2.0]


def test_the_next_state_of_a_window_follows_from_what_it_is_told() -> None:
    model = tiny_model()
    assert model.state_dynamics is not None
    torch.nn.init.zeros_(model.state_dynamics.output.weight)  # nothing moves
    rows = small_rows(model, [3])
    rows.state[:] = [[0.0], [1.0], [1.0]]
    batch = tracks([rows], (np.zeros(1, int), np.array([[0, 1, 2]]), np.zeros((1, 3), bool)), np.zeros(1, bool))
    alone, told = (state_dynamics_loss(model.state_dynamics, batch, torch.tensor([n])) for n in (1, 2))
    torch.testing.assert_close(told, alone / 2)  # wrong once, not twice


def test_killed_between_two_saves_and_repeated_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)

    def trained(out: Path) -> dict[str, torch.Tensor]:
        model = tiny_model()
        train_state_dynamics(model, [(moving_rows(model), 1.0)], CONFIG, out, {})
        assert model.state_dynamics is not None
        return model.state_dynamics.state_dict()

    assert_resumes(trained, tmp_path, monkeypatch)


def test_a_robot_without_a_state_has_none(tmp_path: Path) -> None:
    model = tiny_model()
    model.state_dynamics = None
    train_state_dynamics(model, [], CONFIG, tmp_path / "none", {})
    assert not (tmp_path / "none").exists()


def test_some_windows_are_followed_from_their_first_state_alone_as_a_dream_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[torch.Tensor] = []

    def watched(state_dynamics: torch.nn.Module, batch: Tracks, told_B: torch.Tensor) -> torch.Tensor:
        told.append(told_B)
        return state_dynamics_loss(state_dynamics, batch, told_B)

    monkeypatch.setattr(module, "state_dynamics_loss", watched)
    model = tiny_model()
    train_state_dynamics(model, [(moving_rows(model), 1.0)], replace(CONFIG, steps=1, batch=256), tmp_path, {})
    alone = (told[0] == 1).float().mean().item()
    assert told[0].min() == 1 and alone == pytest.approx(FRESH, abs=0.1)
