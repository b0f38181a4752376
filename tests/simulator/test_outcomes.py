"""What recorded outcomes say of a dream's success, and when they say nothing."""

from pathlib import Path

import numpy as np
import pytest
from tests.episodes.robots import write_robot
from tests.tiny import tiny_model

from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.simulator import outcomes
from presage.simulator.outcomes import (
    calibrate_on,
    chosen_outcomes,
    dreamed_again,
    known_outcomes,
    left_out_accuracy,
    recorded_episodes,
)
from presage.simulator.recordings import recording_of_robot
from presage.simulator.success import best_threshold
from presage.worlds.recording import Recording


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    root = write_robot(tmp_path / "arm", ("front", "top"), joints=4, length=13, fps=20, episodes=6)
    return recording_of_robot(Robot.from_dataset(Dataset(root)), Dataset(root), 32)


def test_an_episode_is_dreamed_from_its_first_frame_with_its_own_actions(recording: Recording) -> None:
    first, other = recorded_episodes(recording, [2, 5])
    assert (first.success, other.success, first.seed, first.steps) == (True, False, 2, 3)
    assert first.actions is not None and np.array_equal(first.actions, recording.action[8:11])
    assert np.array_equal(first.frames["top"], recording.frames(2)[:1, 1])
    value = dreamed_again(tiny_model(), recording, [2, 5])
    np.testing.assert_allclose(value[1], dreamed_again(tiny_model(), recording, [5])[0], atol=1e-4)


def test_actions_end_where_one_is_missing_and_such_an_outcome_says_nothing(recording: Recording) -> None:
    recording.valid[[4, 9]] = False
    assert len(recording.actions(1)) == 0 and len(recording.actions(2)) == 1
    recording.success[0] = None
    assert known_outcomes(recording) == [3, 4, 5]  # a dream of one step of episode 2 shows no success


def test_a_rare_outcome_is_among_those_that_are_drawn(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "MOST", 4)
    recording.success = [False, True, True, True, True, False]
    drawn = [chosen_outcomes(recording, seed) for seed in range(10)]
    assert all(len(each) == 4 and each[0] == 0 and each[-1] == 5 for each in drawn) and len(set(map(tuple, drawn))) > 1
    recording.success = [False, True] * 3
    assert all(sum(e % 2 for e in chosen_outcomes(recording, seed)) == 2 for seed in range(10))


def test_a_threshold_is_judged_by_episodes_it_was_not_made_of() -> None:
    success = np.array([True, True, True, False, False, False])
    assert left_out_accuracy(np.array([0.9, 0.8, 0.85, 0.1, 0.2, 0.15]), success) == 1
    alternating = np.array([0.9, 0.3, 0.7, 0.8, 0.2, 0.6])
    own = best_threshold(alternating, success).balanced_accuracy
    assert left_out_accuracy(alternating, success) < own


def test_too_few_known_outcomes_are_refused(recording: Recording) -> None:
    made = calibrate_on(tiny_model(), recording)
    assert (made.successes, made.failures, made.tasks) == (3, 3, ("lift the cube",))
    recording.success = [True, False, True, None, None, None]
    with pytest.raises(UserError, match="arm: 2 successes and 1 failures are known .* at least 2 of each"):
        calibrate_on(tiny_model(), recording)
    recording.success = [None] * 6
    with pytest.raises(UserError, match="arm: no outcome is known of its 6 episodes.*record next.success"):
        calibrate_on(tiny_model(), recording)


def test_actions_are_blamed_where_they_are_what_is_missing(recording: Recording) -> None:
    recording.valid[[4, 9]] = False
    recording.success, recording.held_out = [True, True, None, False, None, None], True
    with pytest.raises(UserError, match="1 successes and 1 failures are known of its held-out episodes .1 more lack"):
        calibrate_on(tiny_model(), recording)
    recording.valid[:] = False
    with pytest.raises(UserError, match="arm: no 'action' was recorded in its 6 held-out episodes, so what came of"):
        calibrate_on(tiny_model(), recording)
