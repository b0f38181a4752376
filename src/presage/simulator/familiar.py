"""Do a policy's actions leave the recorded ones? There a dream has never seen what comes.

A chunk is far off if it is further from every recorded chunk than 99 % of the recorded chunks are from those of other
episodes, or if one of its numbers changes by more at once, from a command to the next, than recorded ones do: a robot
that is told places goes there too fast. So of recorded actions about 1 % are far off, and of a policy's as many as are
unlike anything that was recorded. Who repeats a usual command adds nothing to either side: a policy that goes wrong at
once and then stands still is not the more familiar for it. It looks at actions alone: a usual action in an unusual
place is not seen.

Shapes: R rows of a recording, T steps, A numbers of an action.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from presage.worlds.recording import Recording

MOST = 2000
"""Chunks of a recording, chosen at random, that are compared"""
FAR, USUAL = 0.1, 0.99
"""Share of a policy's chunks that may be far off before it is said, and share of the recorded ones that are not"""
ROOM, SLACK = 1.1, 0.02
"""Changes may be so many times as large as recorded ones, and so many half ranges of their number larger: of few
recordings nobody knows the largest, and what nobody moved may tremble"""


@dataclass(frozen=True, eq=False)
class Familiar:
    """Recorded chunks (N, chunk * A) in half ranges of each number, the distance from which on one is far off, and the
    least and the greatest change (A,) of a number from a command to the next."""

    chunks: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    limit: float
    least: np.ndarray
    greatest: np.ndarray

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
        return Familiar(chunks, center, scale, float(np.quantile(apart.min(1), USUAL)), *_changes(recording, scale))

    def far_off(self, actions: np.ndarray) -> float:
        """Share of the chunks of an episode (T, chunk, A) that are far off, of those that are or that change a command;
        nan where there are none."""
        if not len(actions):
            return float("nan")
        scaled = (actions.reshape(len(actions), -1) - self.center) / self.scale
        strange = cdist(scaled, self.chunks).min(1) > self.limit
        moved = moves(actions)
        sudden = ((moved < self.least) | (moved > self.greatest)).any((1, 2))
        far = strange | sudden
        counted = far | (np.abs(moved) > _slack(self.scale, actions)).any((1, 2))
        return float(far.sum() / max(1, counted.sum()))


def _changes(recording: Recording, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(least, greatest) change of each number (A,) that is not far off. scale: half ranges (chunk * A,)."""
    _, chunk, numbers = recording.action.shape
    slack = _slack(scale, recording.action)
    follows = recording.valid & np.append(False, recording.valid[:-1])  # an action that is missing says nothing
    if not follows.any():
        return np.full(numbers, -np.inf), np.full(numbers, np.inf)
    moved = np.concatenate([moves(each) for each in np.split(recording.action, recording.start[1:])])[follows]
    beyond = (1 - USUAL) / (2 * chunk * numbers)  # any one of so many makes a chunk far off
    low, high = np.quantile(moved, [beyond, 1 - beyond], axis=(0, 1))
    return ROOM * low - slack, ROOM * high + slack


def _slack(scale: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """(A,) change of each number that is none. scale: half ranges (chunk * A,); actions: (..., chunk, A)."""
    out: np.ndarray = SLACK * scale.reshape(actions.shape[-2:]).max(0)
    return out


def moves(actions: np.ndarray) -> np.ndarray:
    """(T, chunk, A) each command of an episode less the one before it; of the first one nothing is known: 0."""
    before = np.concatenate([actions[:1, :1], actions[:-1, -1:]])
    return np.diff(np.concatenate([before, actions], 1), axis=1)


def warning(name: str, share: float) -> str:
    """What a person should know of a policy that does what was never recorded; empty where it does not.

    share: of its chunks that are far off.
    """
    if not share > FAR:
        return ""
    return (
        f"{name}: {100 * share:.0f} % of its actions are unlike all recorded ones (of the recorded themselves 1 %): "
        "the dream has never seen what comes of such actions"
    )
