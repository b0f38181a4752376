"""Intervals: known values, the limits that must hold for any count, and coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presage.measures.statistics import (
    bootstrap_mean,
    difference_of_pairs,
    difference_of_proportions,
    expanded,
    wilson,
)


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 500))
    return draw(st.integers(0, n)), n


def test_wilson_known_values() -> None:
    # Newcombe, Two-sided confidence intervals for the single proportion (1998), table I, method 3.
    for successes, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        rate, found_low, found_high = wilson(successes, n)
        assert rate == successes / n
        assert (found_low, found_high) == pytest.approx((low, high), abs=5e-5)


@given(counts())
def test_wilson_contains_its_estimate_and_stays_in_range(count: tuple[int, int]) -> None:
    rate, low, high = wilson(*count)
    assert 0 <= low <= rate <= high <= 1
    assert high > low


@given(counts())
def test_wilson_is_symmetric_in_success_and_failure(count: tuple[int, int]) -> None:
    successes, n = count
    success, failure = wilson(successes, n), wilson(n - successes, n)
    assert (success.low, success.high) == pytest.approx((1 - failure.high, 1 - failure.low))


@given(counts(), st.integers(2, 10))
def test_wilson_narrows_with_episodes_and_widens_with_confidence(count: tuple[int, int], k: int) -> None:
    successes, n = count
    once, often, surer = (
        wilson(successes, n),
        wilson(k * successes, k * n),
        wilson(successes, n, confidence=0.99),
    )
    assert often.high - often.low < once.high - once.low < surer.high - surer.low


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="successes lie|at least one episode"):
        wilson(successes, n)


def test_wilson_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth, n = 0.8, 20
    drawn = rng.binomial(n, truth, size=2000)
    covered = [low <= truth <= high for _, low, high in (wilson(int(k), n) for k in drawn)]
    assert 0.92 < np.mean(covered) < 0.98


def test_difference_of_pairs_known_values() -> None:
    # Newcombe (1998), paired data, table II: 36 both, 12 the first alone, 2 the second alone.
    first, second = [True] * 48 + [False] * 2, [True] * 36 + [False] * 12 + [True] * 2
    assert difference_of_pairs(first, second) == pytest.approx((0.2, 0.0569, 0.3404), abs=1e-4)
    turned = difference_of_pairs(second, first)
    assert turned == pytest.approx((-0.2, -0.3404, -0.0569), abs=1e-4)


def test_pairs_that_never_differ_still_have_a_width_and_alike_policies_a_smaller_one() -> None:
    alike = difference_of_pairs([True, False] * 20, [True, False] * 20)
    apart = difference_of_pairs([True, False] * 20, [True, True, False, False] * 10)
    assert alike.low < 0 < alike.high and alike.value == apart.value == 0
    assert alike.high - alike.low < apart.high - apart.low
    with pytest.raises(ValueError, match="one length"):
        difference_of_pairs([True], [True, False])


def test_difference_known_values() -> None:
    # Newcombe, Interval estimation for the difference between independent proportions (1998), method 10.
    for a, n_a, b, n_b, low, high in [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (10, 10, 0, 10, 0.6075, 1.0000),
        (5, 56, 0, 29, -0.0381, 0.1926),
    ]:
        found = difference_of_proportions(a, n_a, b, n_b)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@given(counts(), counts())
def test_difference_contains_its_estimate_and_turns_its_sign_with_the_sides(
    a: tuple[int, int], b: tuple[int, int]
) -> None:
    forth, back = difference_of_proportions(*a, *b), difference_of_proportions(*b, *a)
    assert -1 - 1e-12 <= forth.low <= forth.value <= forth.high <= 1 + 1e-12
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.integers(0, 5))
def test_bootstrap_mean_lies_between_the_extremes_and_repeats(values: list[float], seed: int) -> None:
    found = bootstrap_mean(values, resamples=200, seed=seed)
    assert found.low <= found.value <= found.high
    assert min(values) - 1e-9 <= found.low and found.high <= max(values) + 1e-9
    assert found == bootstrap_mean(values, resamples=200, seed=seed)


def test_bootstrap_mean_agrees_with_the_normal_interval() -> None:
    sample = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    _, low, high = bootstrap_mean(sample)
    half = 1.96 * sample.std() / np.sqrt(sample.size)
    assert (low, high) == pytest.approx((sample.mean() - half, sample.mean() + half), abs=0.02)


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], [1.0, float("nan")]])
def test_bootstrap_mean_refuses_what_has_no_mean(values: list) -> None:
    with pytest.raises(ValueError, match="a mean needs"):
        bootstrap_mean(values)


def test_few_items_are_asked_for_wider_percentiles() -> None:
    assert expanded(5) > expanded(50) > 0.95 and expanded(5000) == pytest.approx(0.95, abs=1e-3) and expanded(1) == 1
    assert 0.9 < expanded(50, 0.9) < expanded(50)
