"""What recorded outcomes say of a dream's success, and when they say nothing."""

from pathlib import Path

import numpy as np
import pytest
from tests.episodes.robots import write_robot
from tests.tiny import tiny_model

from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.simulator.outcomes import calibrate_on, dreamed_again, known_outcomes, left_out_accuracy, recorded_episodes
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
    assert known_outcomes(recording) == [2, 3, 4, 5]


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
    with pytest.raises(UserError, match="arm: no outcome is known of its 6 held-out episodes.*record next.success"):
        calibrate_on(tiny_model(), recording)
