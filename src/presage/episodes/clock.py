"""At which time of a video file the frame of a row is, where the file's clock is not quite that of the dataset.

Frames are found by time. Some videos run at 29.97 frames a second in a dataset of 30, and files of several episodes drift
by a little at each. Where such a file has exactly one evenly spaced frame for every row of its episodes, frames are counted
instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SLOWEST = 0.002
"""Share by which the two clocks may differ: 29.97 in 30 is 0.001."""
_ALIKE = 0.25
"""Of a frame: times that are less apart are the same."""


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
    before = np.repeat(np.arange(len(shown)), lengths)
    steps = np.diff(times)[np.diff(before) == 0] * fps
    even = not len(steps) or np.abs(steps - 1).max() <= _ALIKE
    near = (off <= _ALIKE / fps + _SLOWEST * nominal + before / fps).all()
    return times if even and near else None


def rate_of(times: np.ndarray) -> float | None:
    """Frames a second of a video, gaps left aside; None of a single frame."""
    steps = np.diff(times)
    steps = steps[steps < 1.5 * np.median(steps)] if len(steps) else steps
    return 1 / float(steps.mean()) if len(steps) and steps.mean() > 0 else None
