"""Rank agreement: scipy as reference, invariances, ties, and the traps of the published MMRV code."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from presage.measures.correlation import FEWEST, MANY, kendall, mmrv, mmrv_interval, pearson, spearman
from presage.measures.statistics import expanded, resample_counts

# Success rates of 20 episodes: few distinct values, so ties occur as they do in practice.
rates = st.integers(0, 20).map(lambda k: k / 20)


@st.composite
def pairs(draw: st.DrawFn, smallest: int = FEWEST) -> tuple[np.ndarray, np.ndarray]:
    size = draw(st.integers(smallest, 12))
    side = st.lists(rates, min_size=size, max_size=size).map(np.array)
    return draw(side), draw(side)


CORRELATIONS = [(pearson, stats.pearsonr), (spearman, stats.spearmanr), (kendall, stats.kendalltau)]


@pytest.mark.parametrize(("ours", "reference"), CORRELATIONS)
@given(pair=pairs(smallest=3))
def test_agrees_with_scipy(ours, reference, pair) -> None:
    x, y = pair
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    found = ours(x, y, resamples=50)
    assert found.value == pytest.approx(reference(x, y).statistic, abs=1e-9)
    assert len(x) < FEWEST or -1 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(("ours", "reference"), CORRELATIONS)
@given(pair=pairs(), seed=st.integers(0, 1000))
def test_bootstrap_weights_are_resampling(ours, reference, pair, seed: int) -> None:
    """The bounds equal those of a plain loop that draws policies and calls scipy."""
    x, y = pair
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    resamples = 20
    counts = np.random.default_rng(seed).multinomial(x.size, np.full(x.size, 1 / x.size), size=resamples)
    drawn = [np.repeat(np.arange(x.size), row) for row in counts]
    values = [reference(x[i], y[i]).statistic for i in drawn if np.ptp(x[i]) > 0 and np.ptp(y[i]) > 0]
    found = ours(x, y, resamples=resamples, seed=seed)
    if values:
        tail = (1 - expanded(x.size)) / 2
        low, high = np.quantile(values, [tail, 1 - tail])
        low, high = min(low, found.value), max(high, found.value)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("ours", [pearson, spearman, kendall])
def test_few_policies_have_no_interval(ours) -> None:
    value, low, high = ours([1, 1, 0.5, 0], [0.9, 0.9, 0.5, 0])
    assert value > 0.9 and math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize("n", [FEWEST, MANY // 2])
def test_the_interval_of_some_policies_holds_the_truth(n: int) -> None:
    rng, truth, held = np.random.default_rng(0), 0.9, []
    for _ in range(200):
        x, noise = rng.normal(size=(2, n))
        found = pearson(x, truth * x + np.sqrt(1 - truth**2) * noise, resamples=400)
        held.append(found.low <= truth <= found.high)
    assert 0.92 < np.mean(held)  # plain percentiles do not


@pytest.mark.parametrize("ours", [pearson, spearman, kendall])
def test_constant_side_has_no_correlation(ours) -> None:
    assert all(math.isnan(v) for v in ours([0.5, 0.5, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4]))
    # SIMPLER's code returns 1 here.
    assert math.isnan(ours([0.5, 0.5, 0.5], [0.2, 0.2, 0.2]).value)


@pytest.mark.parametrize("ours", [spearman, kendall])
@given(pair=pairs())
def test_rank_correlations_see_order_only(ours, pair) -> None:
    x, y = pair
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    assert ours(x, y, resamples=20) == pytest.approx(ours(np.exp(3 * x), y, resamples=20), abs=1e-9)


@pytest.mark.parametrize("ours", [pearson, spearman, kendall])
def test_interval_narrows_with_policies(ours) -> None:
    rng = np.random.default_rng(0)
    real = rng.uniform(size=100)
    imagined = real + rng.normal(0, 0.2, size=100)
    few, many = ours(imagined[:8], real[:8], resamples=500), ours(imagined, real, resamples=500)
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize("ours", [pearson, spearman, kendall])
@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        ([0.1, 0.2], [0.1, 0.2], "at least 3 policies"),
        ([0.1, 0.2, 0.3], [0.1, 0.2], "one value per policy"),
        ([0.1, 0.2, float("nan")], [0.1, 0.2, 0.3], "finite"),
    ],
)
def test_refuses_bad_input(ours, x, y, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ours(x, y)


@given(pair=pairs(smallest=1))
def test_mmrv_is_the_published_double_loop(pair) -> None:
    imagined, real = pair
    worst = []
    for i in range(len(real)):
        violations = [
            abs(real[i] - real[j]) for j in range(len(real)) if (imagined[i] > imagined[j]) != (real[i] > real[j])
        ]
        worst.append(max(violations, default=0.0))
    assert mmrv(imagined=imagined, real=real) == pytest.approx(np.mean(worst))


@given(pair=pairs(), seed=st.integers(0, 1000))
def test_bounds_of_mmrv_are_those_of_resampled_policies(pair, seed: int) -> None:
    imagined, real = pair
    found = mmrv_interval(imagined=imagined, real=real, resamples=40, seed=seed)
    counts = resample_counts(len(real), 40, seed).astype(int)
    drawn = [np.repeat(np.arange(len(real)), row) for row in counts]
    low, high = np.quantile([mmrv(imagined=imagined[rows], real=real[rows]) for rows in drawn], [0.025, 0.975])
    assert found.value == mmrv(imagined=imagined, real=real)
    assert (found.low, found.high) == pytest.approx((min(low, found.value), max(high, found.value)))


@given(st.lists(rates, min_size=1, max_size=12))
def test_mmrv_bounds(real: list[float]) -> None:
    order_kept = [3 * r - 1 for r in real]
    order_turned = [-r for r in real]
    assert mmrv(imagined=order_kept, real=real) == 0
    assert 0 <= mmrv(imagined=order_turned, real=real) <= np.ptp(real) + 1e-12


def test_mmrv_sides_are_not_exchangeable() -> None:
    imagined, real = [0.0, 0.1, 0.9], [0.2, 0.1, 0.3]
    assert mmrv(imagined=imagined, real=real) == pytest.approx(0.2 / 3)
    assert mmrv(imagined=real, real=imagined) == pytest.approx(0.2 / 3)
    imagined = [0.0, 0.5, 0.9]
    assert mmrv(imagined=imagined, real=real) == pytest.approx(0.2 / 3)
    assert mmrv(imagined=real, real=imagined) == pytest.approx(1.0 / 3)


def test_mmrv_counts_a_tie_on_one_side_once() -> None:
    # Imagination cannot tell the two apart; only the policy that is really ahead is charged.
    assert mmrv(imagined=[0.5, 0.5], real=[0.2, 0.8]) == pytest.approx(0.3)
    with pytest.raises(TypeError):
        mmrv([0.5, 0.5], [0.2, 0.8])  # type: ignore[misc]
