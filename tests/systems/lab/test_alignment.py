"""What agreement of single outcomes says of picks between policies."""

import numpy as np

from presage.systems.lab.alignment import expected_picks, right_picks


def test_the_more_often_outcomes_agree_the_more_picks_are_right_and_a_guess_picks_half() -> None:
    true = np.array([0.1, 0.15, 0.3, 0.6, 0.65])
    assert right_picks(true, true).tolist() == [1, 1, 1, 1]
    guess, fair, good = (np.nanmean(expected_picks(true, hit, 1 - hit, 40)) for hit in (0.5, 0.7, 0.95))
    assert abs(guess - 0.5) < 0.03 and guess < fair < good


def test_a_tie_is_half_a_pick_and_equal_policies_are_no_pair() -> None:
    picks = right_picks(np.array([0.2, 0.2, 0.8]), np.array([0.5, 0.4, 0.5]))
    assert np.isnan(picks[:3]).all() and picks[3] == 0.75
