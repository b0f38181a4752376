"""Crash-safe place for finished episodes while a dataset is being collected.

Each episode is one folder ``<spool>/<key>/`` with ``rows.npz``, one mp4 per camera and ``episode.json``. The folder is
made under a hidden name and renamed when whole, so any number of processes may spool at once and a killed one leaves
nothing half-written behind. ``presage.episodes.writer.write_dataset`` turns the spool into a dataset.
"""

import json
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from presage.episodes.episode import Episode, check_episode
from presage.episodes.statistics import image_histogram
from presage.episodes.video import encode_clip
from presage.errors import UserError

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


def spool_episode(spool: Path, key: str, episode: Episode, fps: float) -> None:
    """Store one finished episode under ``key``; a key already there is kept as it is.

    Keys decide the order of the episodes in the dataset (sorted as text). Raises UserError when the episode cannot be
    stored or the folder cannot be written.
    """
    if not _KEY.fullmatch(key):
        raise UserError(f"{spool}: episode key {key!r} is not allowed; use letters, digits, '_', '-' and '.'")
    check_episode(episode, f"episode {key!r}")
    final = spool / key
    hidden = spool / f".{key}-{uuid.uuid4().hex}"
    try:
        hidden.mkdir(parents=True)
        cameras: dict[str, Any] = {}
        for name, frames in episode.frames.items():
            encode_clip(hidden / f"{name}.mp4", frames, fps)
            height, width = frames.shape[1:3]
            cameras[name] = {"height": height, "width": width, "histogram": image_histogram(frames).tolist()}
        np.savez(hidden / "rows.npz", allow_pickle=False, **episode.columns)
        facts = {
            "length": episode.length,
            "fps": fps,
            "instruction": episode.instruction,
            "info": {k: v.item() if isinstance(v, np.generic) else v for k, v in episode.info.items()},
            "cameras": cameras,
        }
        (hidden / "episode.json").write_text(json.dumps(facts))
        try:
            os.rename(hidden, final)
        except OSError:
            if not final.is_dir():
                raise
            shutil.rmtree(hidden)
    except OSError as error:
        raise UserError(
            f"{spool}: cannot write episode {key!r} ({error.strerror or error}); choose a writable folder with free space"
        ) from error


def spooled_keys(spool: Path) -> set[str]:
    """Keys of the whole episodes in the spool; empty when there is no spool."""
    if not spool.is_dir():
        return set()
    return {entry.name for entry in spool.iterdir() if entry.is_dir() and not entry.name.startswith(".")}


def read_facts(spool: Path, key: str) -> dict[str, Any]:
    """The episode.json of one spooled episode."""
    try:
        return json.loads((spool / key / "episode.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{spool / key / 'episode.json'}: cannot be read ({error}); delete this folder") from error


def read_rows(spool: Path, key: str) -> dict[str, np.ndarray]:
    """The columns of one spooled episode."""
    path = spool / key / "rows.npz"
    try:
        with np.load(path, allow_pickle=False) as rows:
            return {name: rows[name] for name in rows.files}
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete this folder") from error
