"""Does imagination rank policies as reality does?

Inputs are one performance per policy, imagined and real, in the same order: both (P,). The policy
is the unit that is resampled: more episodes of one policy say nothing about how other policies would rank.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from presage.measures.statistics import Interval, expanded, percentile_bounds, resample_counts

MIN_POLICIES = 3  # two policies always correlate by -1 or 1
FEWEST = 6
"""Policies from which on a correlation has an interval. Of three the bootstrap's held the true correlation of normal
performances (0, 0.6 or 0.9) in 45 to 67 of 100 draws instead of 95; of five, one that does is nearly as wide as all."""
MANY = 16
"""Policies from which on plain percentiles do: fewer held it in 84 to 93 of 100 draws, expanded ones in 94 to 98"""

WeightedCorrelation = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""x (P,), y (P,), weights (R, P) -> correlation (R,), nan where one side is constant."""


def pearson(
    x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Linear correlation of x and y, both (P,), with the percentile bootstrap interval over the P policies.

    The bounds are nan for fewer than `FEWEST` policies; for fewer than `MANY` the percentiles are expanded. All three
    are nan where x or y is constant: then no correlation is defined. (SIMPLER's returns 1 when both are constant.)

    Raises:
        ValueError: lengths differ, fewer than three policies, or a value that is not finite.
    """
    return _with_interval(_pearson, x, y, confidence, resamples, seed)


def spearman(
    x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Correlation of the ranks (ties share the mean rank); arguments, errors and nan as `pearson`."""
    return _with_interval(_spearman, x, y, confidence, resamples, seed)


def kendall(
    x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Share of pairs in the same order minus share in opposite order (tau-b, for ties); as `pearson`."""
    return _with_interval(_kendall, x, y, confidence, resamples, seed)


def mmrv(*, imagined: ArrayLike, real: ArrayLike) -> float:
    """Mean maximum rank violation: how much real performance a wrong imagined order can cost. 0 is best.

    For each policy i the largest |real_i - real_j| over the policies j that imagination puts on the other
    side of i; then the mean over i. The unit is that of `real`. Keyword-only because the two sides are not
    exchangeable: only gaps of `real` are counted. A tie on one side only is a violation for the policy that
    is strictly ahead on the other side, as in SIMPLER's code.

    Raises:
        ValueError: lengths differ, no policy, or a value that is not finite.
    Source: Li et al., Evaluating Real-World Robot Manipulation Policies in Simulation (SIMPLER, 2024),
        section III.
    """
    return float(_violations(*_paired(imagined, real, at_least=1)).max(axis=1).mean())


def mmrv_interval(
    *, imagined: ArrayLike, real: ArrayLike, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """`mmrv` with the percentile bootstrap interval over the P policies; arguments and errors as `mmrv`."""
    violations = _violations(*_paired(imagined, real, at_least=1))
    counts = resample_counts(len(violations), resamples, seed)
    value = float(violations.max(axis=1).mean())
    # The worst violation of a policy among those that were drawn, one policy at a time: (R, P) stays small.
    worst = np.stack([((counts > 0) * row).max(axis=1) for row in violations], axis=1)
    low, high = percentile_bounds((counts * worst).sum(axis=1) / len(violations), confidence)
    return Interval(value, min(low, value), max(high, value))


def _violations(imagined: np.ndarray, real: np.ndarray) -> np.ndarray:
    """(P, P): what two policies differ by in reality where imagination puts them the wrong way round, else 0."""
    imagined_ahead = imagined[:, None] > imagined[None, :]
    real_ahead = real[:, None] > real[None, :]
    return np.where(imagined_ahead != real_ahead, np.abs(real[:, None] - real[None, :]), 0.0)


def _with_interval(
    statistic: WeightedCorrelation, x: ArrayLike, y: ArrayLike, confidence: float, resamples: int, seed: int
) -> Interval:
    first, second = _paired(x, y, at_least=MIN_POLICIES)
    value = float(statistic(first, second, np.ones((1, first.size)))[0])
    if np.isnan(value):
        return Interval(value, value, value)
    if first.size < FEWEST:
        return Interval(value, float("nan"), float("nan"))
    if first.size < MANY:
        confidence = expanded(first.size, confidence)
    # A resample that draws one performance only has no correlation; it is left out of the percentiles.
    low, high = percentile_bounds(statistic(first, second, resample_counts(first.size, resamples, seed)), confidence)
    # With few policies the percentiles may lie to one side of the estimate; an interval contains it.
    return Interval(value, min(low, value), max(high, value))


def _pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _weighted_pearson(x[None, :], y[None, :], weights)


def _spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _weighted_pearson(_weighted_ranks(x, weights), _weighted_ranks(y, weights), weights)


def _kendall(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order_x = np.sign(x[:, None] - x[None, :])
    order_y = np.sign(y[:, None] - y[None, :])

    def pairs(value: np.ndarray) -> np.ndarray:
        return np.einsum("ri,ij,rj->r", weights, value, weights, optimize=True)

    return _ratio(pairs(order_x * order_y), pairs(order_x**2), pairs(order_y**2))


def _weighted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean rank of each value among the weighted values, up to a constant: (R, P)."""
    below = (values[:, None] > values[None, :]) + 0.5 * (values[:, None] == values[None, :])
    return weights @ below.T


def _weighted_pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """x and y (R, P) or (1, P), weights (R, P) -> (R,)."""
    total = weights.sum(axis=1, keepdims=True)
    # Means are taken over the items present only, so a resample of equal values has a spread of exactly zero.
    x = _centred(x, weights, total)
    y = _centred(y, weights, total)
    return _ratio((weights * x * y).sum(axis=1), (weights * x**2).sum(axis=1), (weights * y**2).sum(axis=1))


def _centred(values: np.ndarray, weights: np.ndarray, total: np.ndarray) -> np.ndarray:
    values = np.broadcast_to(values, weights.shape)
    present = weights > 0
    constant = np.where(present, values, np.inf).min(axis=1) == np.where(present, values, -np.inf).max(axis=1)
    centred = values - (weights * values).sum(axis=1, keepdims=True) / total
    return np.where(constant[:, None], 0.0, centred)


def _ratio(covariance: np.ndarray, variance_x: np.ndarray, variance_y: np.ndarray) -> np.ndarray:
    # Two roots, not the root of the product: products of small variances underflow.
    scale = np.sqrt(variance_x) * np.sqrt(variance_y)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(scale > 0, covariance / scale, np.nan)
    return np.clip(correlation, -1.0, 1.0)


def _paired(x: ArrayLike, y: ArrayLike, *, at_least: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"one value per policy on both sides, got shapes {first.shape} and {second.shape}")
    if first.size < at_least:
        raise ValueError(f"at least {at_least} policies are needed, got {first.size}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("performances must be finite")
    return first, second
