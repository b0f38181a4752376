"""What agreement of single outcomes says of picks between policies."""

import numpy as np
from tests.recorded import moving_square

from presage.systems.lab.alignment import Lab, expected_picks, right_picks, said_by
from presage.systems.lab.trials import Trials
from presage.systems.onex_evaluation import onex_evaluation
from presage.systems.system import DEBUG
from presage.training.recorded import shape_of


def test_the_more_often_outcomes_agree_the_more_picks_are_right_and_a_guess_picks_half() -> None:
    true = np.array([0.1, 0.15, 0.3, 0.6, 0.65])
    assert right_picks(true, true).tolist() == [1, 1, 1, 1]
    guess, fair, good = (np.nanmean(expected_picks(true, hit, 1 - hit, 40)) for hit in (0.5, 0.7, 0.95))
    assert abs(guess - 0.5) < 0.03 and guess < fair < good


def test_a_tie_is_half_a_pick_and_equal_policies_are_no_pair() -> None:
    picks = right_picks(np.array([0.2, 0.2, 0.8]), np.array([0.5, 0.4, 0.5]))
    assert np.isnan(picks[:3]).all() and picks[3] == 0.75


def test_a_threshold_comes_from_other_trajectories() -> None:
    """All that is said lies between 0.1 and 0.3, and what is above 0.2 is meant as success."""
    data, ended = moving_square(episodes=4), np.array([True, False, True, False])
    said = {True: np.array([0.3, 0.1, 0.29, 0.12]), False: np.array([0.25, 0.11, 0.15, 0.3])}
    trials = {other: Trials(data, ended) for other in said}

    def reading(model: object, shown: Trials) -> np.ndarray:
        return said[shown is trials[True]]

    lab = Lab(trials[False], trials[True], [], trials[True])
    model = onex_evaluation(shape_of(data), DEBUG).build(shape_of(data))
    found = said_by(model, reading, lab)
    assert 0.12 < found.cut < 0.29 and found.agrees.tolist() == [True, True, False, False]
    assert (found.hit, found.alarm) == (0.5, 0.5)
