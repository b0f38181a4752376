"""Do single episodes end in imagination as they do in reality?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from presage.measures.statistics import Interval, percentile_bounds, resample_counts


def kappa(
    *,
    imagined: Sequence[ArrayLike],
    real: Sequence[ArrayLike],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Agreement of imagined and real success of the same episodes beyond what two independent verdicts of the same
    rates would have: 1 is perfect, 0 is chance. One array of outcomes (E,) a policy; the bootstrap is over policies,
    whose episodes are not independent.

    nan where both verdicts are the same for all episodes: then chance alone explains everything.

    Raises:
        ValueError: lengths differ, or there is no policy.
    Source: Cohen, A coefficient of agreement for nominal scales (1960).
    """
    if not len(imagined) or len(imagined) != len(real):
        raise ValueError(f"outcomes of the same policies on both sides, got {len(imagined)} and {len(real)}")
    tables = np.stack([_table(np.asarray(i, bool), np.asarray(r, bool)) for i, r in zip(imagined, real, strict=True)])
    value = float(_kappa(tables.sum(0)[None])[0])
    low, high = percentile_bounds(_kappa(resample_counts(len(tables), resamples, seed) @ tables), confidence)
    return Interval(value, min(low, value), max(high, value))


def cohen(imagined: ArrayLike, real: ArrayLike) -> float:
    """`kappa` of one list of outcomes (E,), without its interval.

    Raises:
        ValueError: lengths differ.
    """
    return float(_kappa(_table(np.asarray(imagined, bool), np.asarray(real, bool))[None])[0])


def _table(imagined: np.ndarray, real: np.ndarray) -> np.ndarray:
    """(4,) episodes: success in both, imagined alone, real alone, in neither."""
    if imagined.ndim != 1 or imagined.shape != real.shape:
        raise ValueError(f"one imagined outcome per real one, got shapes {imagined.shape} and {real.shape}")
    return np.bincount(2 * ~imagined + ~real, minlength=4)


def _kappa(tables: np.ndarray) -> np.ndarray:
    """(R, 4) -> (R,)"""
    both, imagined_alone, real_alone, neither = (tables / tables.sum(1, keepdims=True)).T
    imagined, real = both + imagined_alone, both + real_alone
    chance = imagined * real + (1 - imagined) * (1 - real)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(1 - chance > 1e-12, (both + neither - chance) / (1 - chance), np.nan)
