"""Actions and proprioception: affine maps to roughly [-1, 1], from quantiles so that one outlier cannot squash a
column.

A column that hardly moves is not blown up: no scale is below a twentieth of the range in which 998 of 1,000 values lie,
so that codes of those stay within 20. Training teaches the few beyond as 20 (`FARTHEST`).
"""

from dataclasses import dataclass

import numpy as np

FARTHEST = 20.0
"""Largest code, in either direction, that a model is taught."""
STILL = 1e-6
"""A column that ranges over less does not move."""


@dataclass(frozen=True)
class Spread:
    """Where the values of D columns lie, (D,) each; NaN where a column has none."""

    low: np.ndarray
    """Their 1 % quantile."""
    high: np.ndarray
    """Their 99 % quantile."""
    least: np.ndarray
    """But one in a thousand, at the least one, are not smaller."""
    most: np.ndarray
    """Nor larger than this."""
    smallest: np.ndarray
    largest: np.ndarray

    @staticmethod
    def of(values: np.ndarray, low: float = 0.01, high: float = 0.99) -> "Spread":
        """Of (N, D); what is not finite does not count."""
        return Spread(*np.array([_places(column, low, high) for column in values.T]).reshape(-1, 6).T)


def _places(column: np.ndarray, low: float, high: float) -> list[float]:
    told = np.sort(column[np.isfinite(column)].astype(np.float64))
    if not len(told):
        return [np.nan] * 6
    last = len(told) - 1
    few = min(-(-last // 1000), last // 2)
    return [*np.quantile(told, [low, high]), told[few], told[last - few], told[0], told[last]]


@dataclass(frozen=True)
class ScalarCodec:
    """`encode(x) = (x - center) / scale`, per entry. Lists, so that it lives in a checkpoint's config.json."""

    center: list[float]
    scale: list[float]

    @staticmethod
    def fit(values: np.ndarray, low: float = 0.01, high: float = 0.99) -> "ScalarCodec":
        """Fit on (N, D): the `low` and `high` quantiles map to -1 and 1, as far as the column moves enough."""
        return ScalarCodec.between([Spread.of(values, low, high)])

    @staticmethod
    def between(spreads: list[Spread]) -> "ScalarCodec":
        """For datasets whose D columns are spread like that. The first that has a column fits it, and all say how far
        it moves. What only ever jumps (a gripper that is hardly used) is scaled by half of its range, and what does not
        move, or is in no dataset, by 1."""
        low, high = (_first([getattr(s, name) for s in spreads]) for name in ("low", "high"))
        bulk = np.fmax.reduce([s.most for s in spreads]) - np.fmin.reduce([s.least for s in spreads])
        whole = np.fmax.reduce([s.largest for s in spreads]) - np.fmin.reduce([s.smallest for s in spreads])
        scale = np.fmax((high - low) / 2, bulk / FARTHEST)
        scale = np.where(high - low < STILL, np.fmax(bulk, np.where(bulk < STILL, whole, 0)) / 2, scale)
        scale = np.where(whole < STILL, 1.0, scale)
        center = low + (high - low) / 2
        return ScalarCodec(np.nan_to_num(center).tolist(), np.nan_to_num(scale, nan=1.0).tolist())

    def encode(self, values: np.ndarray) -> np.ndarray:
        """(..., D) raw -> (..., D) float32 normalised."""
        return ((values - np.asarray(self.center)) / np.asarray(self.scale)).astype(np.float32)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """(..., D) normalised -> (..., D) float32 raw."""
        return (codes * np.asarray(self.scale) + np.asarray(self.center)).astype(np.float32)


def _first(values: list[np.ndarray]) -> np.ndarray:
    """Of every column the first that is not NaN."""
    out = values[0].copy()
    for other in values[1:]:
        out = np.where(np.isnan(out), other, out)
    return out


def scale_remark(low: float, q01: float, q99: float, high: float) -> str:
    """What a person should know of how a column with this range and these quantiles is scaled; empty: nothing."""
    if high - low < STILL:
        return f"never moves from {low:.6g}: nothing is learned of it"
    if np.spacing(np.float32(max(abs(low), abs(high)))) > (high - low) / 100:
        return f"lies near {high:.6g} and moves by {high - low:.3g}, which float32 cannot tell: give it another zero"
    if (q99 - q01) / 2 < (high - low) / FARTHEST:
        return (
            f"lies between {q01:.4g} and {q99:.4g} in 98 of 100 rows and reaches from {low:.4g} to {high:.4g}: "
            "rare motion "
            "is scaled with the rest, a recording error is better left out (presage dataset filter)"
        )
    return ""
