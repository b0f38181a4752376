"""Do a policy's actions leave the recorded ones? There a dream has never seen what comes.

A chunk is far off if it is further from every recorded chunk than 99 % of the recorded chunks are from those of other
episodes. So of recorded actions 1 % are far off, and of a policy's as many as are unlike anything that was recorded. It
looks at actions alone: a usual action in an unusual place is not seen.

Shapes: R rows of a recording, T steps, A numbers of an action.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from presage.worlds.recording import Recording

MOST = 2000
"""Chunks of a recording, chosen at random, and of a policy, evenly, that are compared"""
FAR, USUAL = 0.1, 0.99
"""Share of a policy's chunks that may be far off before it is said, and quantile of the recorded distances"""


@dataclass(frozen=True, eq=False)
class Familiar:
    """Recorded chunks (N, chunk * A) in half ranges of each number, and the distance from which on one is far off."""

    chunks: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    limit: float

    @staticmethod
    def of(recording: Recording, seed: int = 0) -> "Familiar | None":
        """None where fewer than two episodes have actions: then nothing says how far apart they are."""
        rows = np.flatnonzero(recording.valid)
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST])
        episode = np.searchsorted(recording.start, rows, side="right")
        if len(np.unique(episode)) < 2:
            return None
        flat = recording.action[rows].reshape(len(rows), -1)
        low, high = np.quantile(flat, [0.01, 0.99], axis=0)
        center, scale = (low + high) / 2, np.where(high > low, (high - low) / 2, 1.0)
        chunks = (flat - center) / scale
        apart = cdist(chunks, chunks)
        apart[episode[:, None] == episode] = np.inf
        return Familiar(chunks, center, scale, float(np.quantile(apart.min(1), USUAL)))

    def far_off(self, actions: Sequence[np.ndarray]) -> float:
        """Share of chunks, of several episodes (T, chunk, A), that are far off; nan where there are none."""
        flat = np.concatenate([each.reshape(len(each), self.chunks.shape[1]) for each in actions])
        if not len(flat):
            return float("nan")
        chosen = flat[np.linspace(0, len(flat) - 1, min(MOST, len(flat))).round().astype(int)]
        nearest = cdist((chosen - self.center) / self.scale, self.chunks).min(1)
        return float((nearest > self.limit).mean())


def warning(name: str, share: float) -> str:
    """What a person should know of a policy that does what was never recorded; empty where it does not."""
    if not share > FAR:
        return ""
    return (
        f"{name}: {100 * share:.0f} % of its actions are unlike all recorded ones (of the recorded themselves 1 %): "
        "the dream has never seen what comes of such actions"
    )
