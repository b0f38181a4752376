"""Kappa: what single verdicts agree in, beyond their rates."""

import math

import numpy as np
import pytest

from presage.measures.agreement import kappa


def test_the_same_outcomes_agree_and_opposite_ones_do_not() -> None:
    outcomes = [[True, False, True], [False, False, True], [True, True, False]]
    opposite = [[not x for x in each] for each in outcomes]
    assert kappa(imagined=outcomes, real=outcomes).value == 1
    assert kappa(imagined=opposite, real=outcomes).value == pytest.approx(-0.976, abs=0.01)


def test_a_table_worked_out_by_hand() -> None:
    """20 both, 5 imagined alone, 10 real alone, 15 neither: 0.7 agree, 0.5 would by chance."""
    imagined = [[True] * 25 + [False] * 25]
    real = [[True] * 20 + [False] * 5 + [True] * 10 + [False] * 15]
    assert kappa(imagined=imagined, real=real).value == pytest.approx(0.4)


def test_verdicts_that_ignore_the_episode_agree_by_chance_however_often_both_are_right() -> None:
    rng = np.random.default_rng(0)
    imagined, real = (rng.random((20, 200)) < 0.9 for _ in range(2))
    found = kappa(imagined=list(imagined), real=list(real))
    assert found.low < 0 < found.high and found.high - found.low < 0.15


def test_policies_are_what_is_resampled() -> None:
    alike, other = [True, False, True, False], [False, True, False, True]
    wide = kappa(imagined=[alike, alike], real=[alike, other])
    assert (wide.low, wide.value, wide.high) == (-1, 0, 1)


def test_without_a_failure_nothing_can_be_told() -> None:
    assert math.isnan(kappa(imagined=[[True]], real=[[True]]).value)
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(1,\)"):
        kappa(imagined=[[True, True]], real=[[True]])
    with pytest.raises(ValueError, match="got 1 and 0"):
        kappa(imagined=[[True]], real=[])
