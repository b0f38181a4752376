"""Is a predicted success probability true, and does imagined success over- or underrate real success?"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from presage.measures.statistics import wilson


@dataclass(frozen=True)
class ReliabilityCurve:
    """Predictions grouped into B bins of equal width over [0, 1]; empty bins are left out, so B <= bins.

    `observed_low` and `observed_high` are Wilson bounds: a bin of five episodes must not look like a bin of
    five hundred.
    """

    predicted: np.ndarray  # (B,) mean prediction in the bin
    observed: np.ndarray  # (B,) share of successes in the bin
    observed_low: np.ndarray  # (B,)
    observed_high: np.ndarray  # (B,)
    count: np.ndarray  # (B,) int64, episodes in the bin


class Line(NamedTuple):
    """real = slope * imagined + intercept; slope 1 and intercept 0: imagination is right on average."""

    slope: float
    intercept: float


def reliability_curve(
    predicted: ArrayLike, outcome: ArrayLike, *, bins: int = 10, confidence: float = 0.95
) -> ReliabilityCurve:
    """Observed success against predicted success.

    Args:
        predicted: (N,) probabilities in [0, 1].
        outcome: (N,) bool or 0/1, what happened.
    Raises:
        ValueError: lengths differ, none given, or a value outside its range.
    Source: DeGroot and Fienberg, The comparison and evaluation of forecasters (1983).
    """
    probability, success = _checked(predicted, outcome)
    if bins < 1:
        raise ValueError(f"at least one bin is needed, got {bins}")
    # A prediction of exactly 1 belongs to the last bin.
    index = np.minimum((probability * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins)
    full = count > 0
    predicted_sum = np.bincount(index, weights=probability, minlength=bins)[full]
    successes = np.bincount(index, weights=success, minlength=bins)[full]
    count = count[full]
    intervals = [wilson(int(k), int(n), confidence=confidence) for k, n in zip(successes, count)]
    return ReliabilityCurve(
        predicted=predicted_sum / count,
        observed=successes / count,
        observed_low=np.array([interval.low for interval in intervals]),
        observed_high=np.array([interval.high for interval in intervals]),
        count=count,
    )


def expected_calibration_error(predicted: ArrayLike, outcome: ArrayLike, *, bins: int = 10) -> float:
    """Mean distance of predicted from observed success, bins weighted by their episodes; 0 is best.

    Arguments and errors as `reliability_curve`. It depends on the number of bins: compare at
    equal `bins` only.
    Source: Naeini et al., Obtaining well calibrated probabilities using Bayesian binning (2015).
    """
    curve = reliability_curve(predicted, outcome, bins=bins)
    return float(np.sum(curve.count * np.abs(curve.predicted - curve.observed)) / curve.count.sum())


def brier(predicted: ArrayLike, outcome: ArrayLike) -> float:
    """Mean squared difference of predicted probability (N,) and outcome (N,); 0 is best, always-1/2 has 0.25.

    Raises:
        ValueError: as `reliability_curve`.
    Source: Brier, Verification of forecasts expressed in terms of probability (1950), for two classes.
    """
    probability, success = _checked(predicted, outcome)
    return float(np.mean((probability - success) ** 2))


def calibration_line(*, imagined: ArrayLike, real: ArrayLike) -> Line:
    """Least-squares line from imagined to real performance, one value per policy, both (P,).

    Raises:
        ValueError: lengths differ, or all imagined values are equal so that no line exists.
    """
    x, y = np.asarray(imagined, dtype=np.float64), np.asarray(real, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"one value per policy on both sides, got shapes {x.shape} and {y.shape}")
    if x.size < 2 or np.ptp(x) == 0:
        raise ValueError("a line needs two policies with different imagined performance")
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    return Line(slope, float(y.mean() - slope * x.mean()))


def _checked(predicted: ArrayLike, outcome: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    probability, success = np.asarray(predicted, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    if probability.ndim != 1 or probability.shape != success.shape or probability.size == 0:
        raise ValueError(f"one prediction per outcome, got shapes {probability.shape} and {success.shape}")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("predictions are probabilities in [0, 1]")
    if not ((success == 0) | (success == 1)).all():
        raise ValueError("outcomes are 0 or 1")
    return probability, success
