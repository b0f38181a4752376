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
CAMERA_PREFIX = "observation.images."
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
    if not isinstance(episode.instruction, str) or not _is_unicode(episode.instruction):
        raise UserError(f"{where}: instruction is {episode.instruction!r}; give a text, '' where there is none")
    for kind, values in (("frames", episode.frames), ("columns", episode.columns), ("info", episode.info)):
        if not isinstance(values, dict):
            raise UserError(f"{where}: {kind} is a {type(values).__name__}; give a dict of names and values")
        for name in values:
            if not (isinstance(name, str) and _NAME.fullmatch(name)):
                raise UserError(f"{where}: {kind}: name {name!r} is not allowed; use letters, digits, '_', '-' and '.'")
    for kind, arrays in (("camera", episode.frames), ("column", episode.columns)):
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray) or array.ndim == 0:
                raise UserError(
                    f"{where}: {kind} {name!r} is a {type(array).__name__}; give a numpy array, one row per frame"
                )
    if episode.length == 0:
        raise UserError(f"{where}: the episode is empty; record at least one row")
    for name, frames in episode.frames.items():
        _check_frames(name, frames, episode.length, where)
        if f"{CAMERA_PREFIX}{name}" in episode.columns:
            raise UserError(f"{where}: {CAMERA_PREFIX + name!r} is a camera and a column; rename one of them")
    for name, column in episode.columns.items():
        _check_column(name, column, episode.length, where)
    for name, value in episode.info.items():
        _check_fact(name, value, where)


def _check_frames(name: str, frames: np.ndarray, length: int, where: str) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape[1:]:
        raise UserError(
            f"{where}: camera {name!r} is {frames.dtype} {frames.shape}; give uint8 frames of shape (T, H, W, 3)"
        )
    if len(frames) != length:
        raise UserError(f"{where}: camera {name!r} has {len(frames)} frames for {length} rows; give one per row")


def _check_column(name: str, column: np.ndarray, length: int, where: str) -> None:
    if name in DEFAULT_COLUMNS:
        raise UserError(f"{where}: column {name!r} is reserved by the format; rename it")
    if column.dtype.kind not in "biufU" or column.dtype in (np.float16, np.longdouble) or not column.dtype.isnative:
        raise UserError(f"{where}: column {name!r} has type {column.dtype}; use float32, int64, bool or text")
    if len(column) != length:
        raise UserError(f"{where}: column {name!r} has {len(column)} rows, expected {length}; give one per frame")
    if column.ndim > 6 or 0 in column.shape:
        raise UserError(f"{where}: column {name!r} has shape {column.shape}; use 0 to 5 non-empty axes per row")
    if column.dtype.kind == "U" and (column.ndim != 1 or not all(map(_is_unicode, column.tolist()))):
        raise UserError(f"{where}: text column {name!r} has shape {column.shape}; give one text of Unicode per row")
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        row = int(np.flatnonzero(~np.isfinite(column).reshape(length, -1).all(axis=1))[0])
        raise UserError(
            f"{where}: column {name!r} is NaN or infinite in row {row}; leave the column out or drop the episode"
        )


def _check_fact(name: str, value: object, where: str) -> None:
    plain = value.item() if isinstance(value, np.generic) else value
    whole = isinstance(plain, int) and not -(2**63) <= plain < 2**63
    if not isinstance(plain, InfoValue) or whole or (isinstance(plain, str) and not _is_unicode(plain)):
        raise UserError(
            f"{where}: info {name!r} is {value!r:.60}; give a text, a number of 64 bits or a bool, or leave it out"
        )


def _is_unicode(text: str) -> bool:
    """Whether it can be written: a lone half of a surrogate pair cannot."""
    return text.encode(errors="replace") == text.encode(errors="surrogatepass")
