"""At which time of a video file the frame of a row is, where the file's clock is not quite that of the dataset.

Frames are found by time. Some videos run at 29.97 frames a second in a dataset of 30, files of several episodes drift
by a little at each, and meta/ adds up starts that are not those of the file. Where such a file has exactly one frame
for every row of its episodes, evenly spaced and without a hole, frames are counted instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_SLOWEST = 0.002
"""Share by which the two clocks may differ: 29.97 in 30 is 0.001."""
_ALIKE = 0.25
"""Of a frame: times that are less apart are the same."""
_HOLE = 0.75
"""Of a frame: a pause between episodes that is no lost frame."""


@dataclass(frozen=True)
class Shown:
    """An episode in a video file, as meta/ has it."""

    start: float
    """Seconds of its first frame."""
    length: int
    """Frames."""
    episode: int
    """Its number."""


def nominal_times(shown: Sequence[Shown], fps: float) -> np.ndarray:
    """(rows,) seconds at which meta/ expects the frames of all episodes, one behind the other."""
    parts = [episode.start + np.arange(episode.length) / fps for episode in shown]
    return np.concatenate([np.empty(0), *parts])


def counted_times(shown: Sequence[Shown], fps: float, times: np.ndarray) -> np.ndarray | None:
    """(rows,) seconds at which the frames of all episodes are, counted; None where they are at their times, or where
    counting could be wrong.

    shown: all episodes of the file, by time. times: (frames,) seconds of its frames, ascending.
    """
    if not len(times) or len(times) != sum(episode.length for episode in shown):
        return None
    nominal = nominal_times(shown, fps)
    off = np.abs(times - nominal)
    if off.max() <= _ALIKE / fps:
        return None
    lengths = [episode.length for episode in shown]
    first = np.cumsum([0, *lengths[:-1]])
    steps = np.abs(np.diff(times) * fps - 1)
    between = np.isin(np.arange(1, len(times)), first)
    even = (steps <= np.where(between, _HOLE, _ALIKE)).all()
    inside = np.repeat([episode.start for episode in shown], lengths)
    late = np.abs(times - np.repeat(times[first], lengths) - (nominal - inside))
    steady = (late <= _ALIKE / fps + _SLOWEST * (nominal - inside)).all()
    in_order = (np.diff([episode.start for episode in shown]) > 0).all()
    return times if even and steady and in_order else None


def overlapping(shown: Sequence[Shown], fps: float) -> list[Shown]:
    """Episodes whose last frames would be the first ones of the next episode, by the times that meta/ gives."""
    return [one for one, following in pairwise(shown) if one.start + (one.length - 0.5) / fps > following.start]


def lacks_unseen(shown: Sequence[Shown], times: np.ndarray) -> str:
    """Says that a file of several episodes has too few frames and no gap where they are missing: from an unknown row on
    every frame may then be that of a later row. Empty where that is not so."""
    rows, steps = sum(episode.length for episode in shown), np.diff(np.sort(times))
    if len(shown) < 2 or not 0 < len(times) < rows or (len(steps) and steps.max() > 1.5 * np.median(steps)):
        return ""
    return f"{len(times)} frames for {rows} rows of {len(shown)} episodes, without a gap that tells which are missing"


def rate_of(times: np.ndarray) -> float | None:
    """Frames a second of a video, gaps left aside; None of a single frame."""
    steps = np.diff(times)
    steps = steps[steps < 1.5 * np.median(steps)] if len(steps) else steps
    return 1 / float(steps.mean()) if len(steps) and steps.mean() > 0 else None
