"""One recorded episode in memory, and what has to hold for it to be stored.

Time rule: row t holds the frames and the state observed at t and the action executed *after* frame t
(``o0 --a0--> o1 --a1--> ... oT``, LeRobot's rule). A feature that was not recorded is left out of ``columns``:
it is stored as missing, never as zeros.
"""

import re
from dataclasses import dataclass, field

import numpy as np

from presage.errors import UserError

InfoValue = str | int | float | bool

# LeRobot adds these to every row; an episode brings none of them.
DEFAULT_COLUMNS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


@dataclass(frozen=True)
class Episode:
    """T rows of one episode.

    frames: camera name -> (T, H, W, 3) uint8 RGB.
    columns: feature name -> (T, ...) numbers, booleans or text, for example ``action`` (T, 16) float32.
    instruction: what the robot was told to do.
    info: facts about the whole episode, for example ``{"task": "push-v3", "seed": 600123, "success": True}``.
    """

    frames: dict[str, np.ndarray]
    columns: dict[str, np.ndarray]
    instruction: str
    info: dict[str, InfoValue] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Number of rows T."""
        streams = [*self.frames.values(), *self.columns.values()]
        return len(streams[0]) if streams else 0


def check_episode(episode: Episode, where: str) -> None:
    """Raise UserError (one line that starts with ``where``) when the episode cannot be stored."""
    length = episode.length
    if length == 0:
        raise UserError(f"{where}: the episode is empty; record at least one row")
    for kind, names in (("camera", episode.frames), ("column", episode.columns), ("info", episode.info)):
        for name in names:
            if not _NAME.fullmatch(name):
                raise UserError(f"{where}: {kind} name {name!r} is not allowed; use letters, digits, '_', '-' and '.'")
    for name, frames in episode.frames.items():
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise UserError(
                f"{where}: camera {name!r} is {frames.dtype} {frames.shape}; give uint8 frames of shape (T, H, W, 3)"
            )
        if len(frames) != length:
            raise UserError(f"{where}: camera {name!r} has {len(frames)} frames for {length} rows; give one per row")
    for name, column in episode.columns.items():
        if name in DEFAULT_COLUMNS:
            raise UserError(f"{where}: column {name!r} is reserved by the format; rename it")
        if column.dtype.kind not in "biufU" or column.dtype == np.float16:
            raise UserError(f"{where}: column {name!r} has type {column.dtype}; use float32, int64, bool or text")
        if len(column) != length:
            raise UserError(f"{where}: column {name!r} has {len(column)} rows, expected {length}; give one per frame")
        if column.ndim > 6 or 0 in column.shape:
            raise UserError(f"{where}: column {name!r} has shape {column.shape}; use 0 to 5 non-empty axes per row")
        if column.dtype.kind == "U" and column.ndim != 1:
            raise UserError(f"{where}: text column {name!r} has shape {column.shape}; give one text per row")
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            row = int(np.flatnonzero(~np.isfinite(column).reshape(length, -1).all(axis=1))[0])
            raise UserError(
                f"{where}: column {name!r} is NaN or infinite in row {row}; leave the column out or drop the episode"
            )
