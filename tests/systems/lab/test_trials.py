"""Trajectories of policies: balanced by outcome, and shuffled within tasks."""

import numpy as np
import pytest
from tests.recorded import moving_square

from presage.errors import UserError
from presage.systems.lab.trials import Trials, shuffled_in_tasks


def test_as_many_succeed_as_fail_in_every_task() -> None:
    data = moving_square(episodes=6)
    data.task[:] = ["a", "a", "a", "b", "b", "b"]
    kept = Trials(data, np.array([1, 1, 0, 0, 0, 0], bool)).balanced(9)
    assert kept.recorded.task == ["a", "a"] and kept.success.tolist() == [True, False]
    with pytest.raises(UserError, match="nothing to agree on"):
        Trials(data, np.zeros(6, bool)).balanced(9)


def test_failures_are_no_longer_than_successes_and_begin_as_they_did() -> None:
    data = moving_square(episodes=4).begun(np.array([3, 8, 8, 2]))
    kept = Trials(data, np.array([1, 1, 0, 0], bool)).balanced(9)
    assert kept.recorded.length.tolist() == [3, 8, 3, 2]  # a failure that ends sooner stays as it is
    np.testing.assert_array_equal(kept.recorded.state[11:14], data.state[11:14])
    np.testing.assert_array_equal(kept.last["image.front"][2], data.frames["image.front"][13])


def test_other_actions_are_of_the_same_task_and_never_its_own() -> None:
    other = shuffled_in_tasks(["a", "b", "a", "b", "a"])
    assert sorted(other) == [0, 1, 2, 3, 4] and set(other[[0, 2, 4]]) == {0, 2, 4} and not (other == np.arange(5)).any()
