"""Several datasets trained on together: windows drawn by weight, statistics over all of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.statistics import VALID_SUFFIX, Statistics, column_statistics
from presage.episodes.windows import Windows
from presage.errors import UserError

Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Windows drawn by a `Mixture`: dataset (B,), rows of it (B, T), padding (B, T)."""


class Mixture:
    """Windows of several datasets, each window from dataset i with probability weights[i] / sum(weights).

    The weights count windows, not rows: a small dataset with a large weight is repeated. All parts need the same
    window length. Deterministic and resumable like Windows.
    """

    def __init__(self, parts: Sequence[Windows], weights: Sequence[float], seed: int = 0):
        if len(parts) == 0 or len(weights) != len(parts):
            raise UserError(f"mixture: {len(weights)} weights for {len(parts)} datasets; give one weight per dataset")
        if len({part.window for part in parts}) > 1:
            raise UserError(f"mixture: windows of {[part.window for part in parts]} rows; use one window length")
        self._parts = list(parts)
        self._share = shares(weights)
        self._seed = seed
        self._draws = 0

    def sample(self, batch: int) -> Drawn:
        """The next ``batch`` windows: dataset number (B,), rows of that dataset (B, T) int64, is_pad (B, T) bool."""
        source = self._sources(batch)
        self._draws += 1
        rows = np.empty((batch, self._parts[0].window), dtype=np.int64)
        is_pad = np.empty(rows.shape, dtype=bool)
        for number, part in enumerate(self._parts):
            chosen = np.flatnonzero(source == number)
            rows[chosen], is_pad[chosen] = part.sample(len(chosen))
        return source, rows, is_pad

    def _sources(self, batch: int) -> np.ndarray:
        """Dataset number (batch,) of each window of the next draw."""
        if len(self._parts) == 1:
            return np.zeros(batch, dtype=np.int64)
        return np.random.default_rng([self._seed, self._draws]).choice(len(self._parts), batch, p=self._share)

    def state(self) -> dict[str, Any]:
        """Where the draw stands, as plain numbers for a checkpoint."""
        return {"seed": self._seed, "draws": self._draws, "parts": [part.state() for part in self._parts]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from ``state()``. Raises UserError when it was taken over other data or with another seed."""
        if state["seed"] != self._seed or len(state["parts"]) != len(self._parts):
            raise UserError(
                "cannot resume: the checkpoint mixed other datasets or used another seed; give the same ones"
            )
        for part, part_state in zip(self._parts, state["parts"]):
            part.load_state(part_state)
        self._draws = state["draws"]


def shares(weights: Sequence[float]) -> np.ndarray:
    """Weights as shares of 1. Raises UserError when they are none."""
    share = np.asarray(weights, dtype=np.float64)
    if not np.isfinite(share).all() or share.min() < 0 or share.sum() == 0:
        raise UserError(f"mixture: weights {list(weights)} must be 0 or more and not all 0")
    return share / share.sum()


def pooled_statistics(datasets: Sequence[Dataset], name: str) -> Statistics:
    """Exact statistics of a feature over the rows of all datasets that recorded it and hold it valid.

    Also serves single datasets whose files bring no quantiles (v2.x). Raises UserError when a dataset lacks the
    column or its shape differs.
    """
    parts = []
    for dataset in datasets:
        counted = dataset.recorded(name)
        if name + VALID_SUFFIX in dataset.features:
            counted = counted & dataset.column(name + VALID_SUFFIX).astype(bool)
        parts.append(dataset.column(name)[counted])
        if parts[-1].shape[1:] != parts[0].shape[1:]:
            raise UserError(
                f"{dataset.root}: column {name!r} has shape {parts[-1].shape[1:]}, in {datasets[0].root} it has "
                f"{parts[0].shape[1:]}; mix datasets of one robot only"
            )
    if sum(map(len, parts)) == 0:
        raise UserError(f"{datasets[0].root}: column {name!r} has no valid row; choose another feature")
    return column_statistics(np.concatenate(parts))
