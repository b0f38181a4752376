"""Intervals for success rates and means.

A success rate without its interval says little at the 20 to 200 episodes an evaluation has, so every
function here returns an `Interval` and none returns a bare number.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, t


class Interval(NamedTuple):
    """An estimate and the bounds of its confidence interval, `low <= value <= high`; nan bounds where too little is
    known for an interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Success rate of `successes` out of `n` independent episodes, with Wilson's score interval.

    Unlike the normal approximation it never leaves [0, 1] and keeps a width at 0 and at n successes.

    Raises:
        ValueError: no episode, or successes outside 0..n.
    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    _check_count(successes, n)
    z = _quantile(confidence)
    rate = successes / n
    scale = 1 + z**2 / n
    centre = (rate + z**2 / (2 * n)) / scale
    half = z / scale * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    # Exact ends: rounding must not push a bound past the estimate at 0 and at n successes.
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == n else float(centre + half)
    return Interval(rate, low, high)


def difference_of_proportions(
    successes_a: int, n_a: int, successes_b: int, n_b: int, *, confidence: float = 0.95
) -> Interval:
    """Success rate of a minus success rate of b, two independent sets of episodes, with Newcombe's interval.

    An interval that excludes 0 is a difference; two Wilson intervals that merely overlap do not refute one.

    Raises:
        ValueError: as `wilson`.
    Source: Newcombe, Interval estimation for the difference between independent proportions (1998),
        method 10.
    """
    a = wilson(successes_a, n_a, confidence=confidence)
    b = wilson(successes_b, n_b, confidence=confidence)
    return difference_of_estimates(a, b)


def difference_of_pairs(a: ArrayLike, b: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Success rate of a minus that of b, (N,) bool each, on the same N episodes, with Newcombe's interval. With few
    episodes it stays wide where a bootstrap would have no width.

    Raises:
        ValueError: no episode, or not as many of both.
    Source: Newcombe, Improved confidence intervals for the difference between binomial proportions based on paired
        data (1998), method 10.
    """
    first, second = np.asarray(a, bool), np.asarray(b, bool)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"pairs are two vectors of one length, got {first.shape} and {second.shape}")
    n = first.size
    one, other = (wilson(int(x.sum()), n, confidence=confidence) for x in (first, second))
    alike = int((first & second).sum()) * int((~first & ~second).sum())
    apart = int((first & ~second).sum()) * int((~first & second).sum())
    spread = np.sqrt(one.value * (1 - one.value) * other.value * (1 - other.value)) * n**2
    cross = alike - apart
    phi = (max(cross - n / 2, 0) if cross > 0 else cross) / spread if spread else 0.0  # continuity correction

    def reach(x: float, y: float) -> float:
        return float(np.sqrt(max(x**2 - 2 * phi * x * y + y**2, 0)))

    difference = one.value - other.value
    low = difference - reach(one.value - one.low, other.high - other.value)
    return Interval(difference, low, difference + reach(one.high - one.value, other.value - other.low))


def difference_of_estimates(a: Interval, b: Interval) -> Interval:
    """a minus b, two independent estimates with intervals of the same confidence, from these intervals alone.

    Source: Zou and Donner, Construction of confidence limits about effect measures: a general approach (2008), eq. 6.
    """
    difference = a.value - b.value
    low = difference - float(np.hypot(a.value - a.low, b.high - b.value))
    high = difference + float(np.hypot(a.high - a.value, b.value - b.low))
    return Interval(difference, low, high)


def bootstrap_mean(values: ArrayLike, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Mean of `values` (N,), with the percentile bootstrap interval over the N independent items.

    One item is one episode or one seed, never one frame: frames of an episode are not independent.

    Raises:
        ValueError: no value, or one that is not finite.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"a mean needs a non-empty vector, got shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError("a mean needs finite values")
    counts = resample_counts(sample.size, resamples, seed)
    low, high = percentile_bounds(counts @ sample / sample.size, confidence)
    mean = float(sample.mean())
    # Rounding in the weighted sums may differ from that of the mean in the last bit.
    return Interval(mean, min(low, mean), max(high, mean))


def resample_counts(n: int, resamples: int, seed: int) -> np.ndarray:
    """How often each of `n` items occurs in each bootstrap resample: (resamples, n) float64, rows sum to n.

    A resample is a weighting of the items, so a statistic over all resamples is a few matrix products.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def percentile_bounds(statistics: np.ndarray, confidence: float) -> tuple[float, float]:
    """The central `confidence` share of `statistics` (resamples,); undefined (nan) resamples are left out."""
    defined = statistics[~np.isnan(statistics)]
    if defined.size == 0:
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def expanded(n: int, confidence: float = 0.95) -> float:
    """The confidence at which bootstrap percentiles of few items n are asked for to get an interval of `confidence`.

    Source: Hesterberg, What Teachers Should Know About the Bootstrap (2015), section 3.3.1.
    """
    if n < 2:
        return 1.0
    wide = np.sqrt(n / (n - 1)) * t.ppf(0.5 + confidence / 2, n - 1)
    return float(1 - 2 * norm.sf(wide))


def _quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, got {confidence}")
    return float(norm.ppf(0.5 + confidence / 2))


def _check_count(successes: int, n: int) -> None:
    if n < 1:
        raise ValueError(f"a success rate needs at least one episode, got {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes lie between 0 and {n}, got {successes}")
