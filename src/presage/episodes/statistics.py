"""Exact statistics of features: mean, std, min, max, count and the quantiles q01, q10, q50, q90, q99.

Layout as in LeRobot's stats.json: vectors give one number per component, images (C, 1, 1) in 0..1, count is (1,).
Rows where a feature was not recorded, or where its companion ``<feature>.valid`` is False, are not counted.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
VALID_SUFFIX = ".valid"  # rows where <feature>.valid is False do not count in the statistics of <feature>
Statistics = dict[str, np.ndarray]
_LARGEST = 1e100
"""Beyond it squares are infinite."""
_FIGURES = ("min", "max", "mean", "std", "count")


def column_statistics(values: np.ndarray) -> Statistics:
    """Statistics over the rows of values (N, ...), N >= 1; scalars (N,) give arrays of shape (1,)."""
    rows = values.reshape(len(values), 1) if values.ndim == 1 else values
    rows = rows.astype(np.float64)
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
        "count": np.array([len(rows)]),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }


def image_histogram(frames: np.ndarray) -> np.ndarray:
    """Counts of each level: frames (T, H, W, 3) uint8 -> (3, 256) int64, from every second pixel of each side.

    Histograms of episodes add up to the one of the dataset, from which all its statistics follow exactly.
    """
    pixels = frames[:, ::2, ::2].reshape(-1, 3)
    return np.stack([np.bincount(pixels[:, channel], minlength=256) for channel in range(3)])


def image_statistics(histogram: np.ndarray, frames: int) -> Statistics:
    """Statistics in 0..1 with shape (3, 1, 1) from a histogram (3, 256); ``frames`` is the count to report."""
    levels = np.arange(256) / 255.0
    total = histogram.sum(axis=1, keepdims=True)
    mean = (histogram * levels).sum(axis=1, keepdims=True) / total
    variance = (histogram * (levels - mean) ** 2).sum(axis=1, keepdims=True) / total
    reached = np.cumsum(histogram, axis=1)

    def level_at(share: float) -> np.ndarray:
        """The value whose rank is share * (pixels - 1), as in numpy's "lower" quantile."""
        rank = np.floor(share * (total - 1))
        return levels[(reached <= rank).sum(axis=1)][:, None]

    figures = {"min": level_at(0.0), "max": level_at(1.0), "mean": mean, "std": np.sqrt(variance)}
    figures |= {name: level_at(share) for name, share in QUANTILES.items()}
    return {name: value.reshape(3, 1, 1) for name, value in figures.items()} | {"count": np.array([frames])}


def read_statistics(raw: Any) -> Statistics | None:
    """The statistics of one feature from JSON or a table; None where there are none that can be used.

    They are optional everywhere: what is missing, null, NaN or of differing shapes is computed anew where it is needed.
    """
    if not isinstance(raw, dict):
        return None
    try:
        figures = {name: np.asarray(value, np.float64) for name, value in raw.items() if value is not None}
    except (TypeError, ValueError, OverflowError):
        return None
    if not set(_FIGURES) <= set(figures) or not all((np.abs(value) < _LARGEST).all() for value in figures.values()):
        return None
    if figures["count"].size != 1 or figures["count"].min() < 1:
        return None
    if len({value.shape for name, value in figures.items() if name != "count"}) > 1:
        return None
    return {**figures, "count": figures["count"].reshape(1).astype(np.int64)}


def combine_statistics(parts: Sequence[Statistics]) -> Statistics:
    """Exact mean, std, min, max and count of the union of disjoint parts (quantiles cannot be combined)."""
    counts = [float(part["count"].reshape(-1)[0]) for part in parts]
    total = sum(counts)
    mean = sum(part["mean"] * count for part, count in zip(parts, counts)) / total
    variance = sum((part["std"] ** 2 + (part["mean"] - mean) ** 2) * n for part, n in zip(parts, counts)) / total
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": np.asarray(mean),
        "std": np.sqrt(variance),
        "count": np.array([int(total)]),
    }
