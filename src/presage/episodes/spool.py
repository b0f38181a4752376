"""Crash-safe place for finished episodes while a dataset is being collected.

Each episode is one folder ``<spool>/<key>/`` with ``rows.npz``, one mp4 per camera and ``episode.json``. The folder is
made under a hidden name and renamed when whole, so any number of processes may spool at once and a killed one leaves
nothing half-written behind. ``presage.episodes.writer.write_dataset`` turns the spool into a dataset.
"""

import hashlib
import json
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from presage.episodes.episode import Episode, check_episode
from presage.episodes.statistics import image_histogram
from presage.episodes.video import encode_clip
from presage.errors import UserError

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_COLUMN = "column/"
"""In front of names in rows.npz, some of which numpy keeps for itself."""
CALL = ".call.json"
"""In a spool: what its episodes depend on besides their keys"""
STARTED = time.time()
"""When this program began to spool or to write: older episodes are those of an earlier run."""


def as_key(text: str) -> str:
    """Any text as part of a key."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "-", text)[:80]


def spool_episode(spool: Path, key: str, episode: Episode, fps: float) -> None:
    """Store one finished episode under ``key``; the same episode spooled again changes nothing.

    Keys decide the order of the episodes in the dataset (sorted as text). Raises UserError when the episode cannot be
    stored, the key holds another episode, or the folder cannot be written.
    """
    if not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise UserError(f"{spool}: episode key {key!r} is not allowed; use letters, digits, '_', '-' and '.'")
    if not (isinstance(fps, int | float | np.number) and math.isfinite(fps) and fps > 0):
        raise UserError(f"{spool}: fps of episode {key!r} is {fps!r}; give a positive number")
    check_episode(episode, f"episode {key!r}")
    fps = fps.item() if isinstance(fps, np.number) else fps
    final, mark = spool / key, _fingerprint(episode, fps)
    if final.is_dir():
        _check_same(spool, key, mark)
        return
    hidden = spool / f".{key}-{uuid.uuid4().hex}"
    try:
        hidden.mkdir(parents=True)
        cameras: dict[str, Any] = {}
        for name, frames in episode.frames.items():
            encode_clip(hidden / f"{name}.mp4", frames, fps)
            height, width = frames.shape[1:3]
            cameras[name] = {"height": height, "width": width, "histogram": image_histogram(frames).tolist()}
        np.savez(
            hidden / "rows.npz",
            allow_pickle=False,
            **{_COLUMN + name: column for name, column in episode.columns.items()},
        )
        facts = {
            "length": episode.length,
            "fps": fps,
            "fingerprint": mark,
            "instruction": episode.instruction,
            "info": _plain(episode.info),
            "cameras": cameras,
        }
        (hidden / "episode.json").write_text(json.dumps(facts))
        try:
            os.rename(hidden, final)
        except OSError:
            if not final.is_dir():
                raise
            shutil.rmtree(hidden)
            _check_same(spool, key, mark)
    except OSError as error:
        raise UserError(
            f"{spool}: cannot write episode {key!r} ({error.strerror or error}); choose a writable folder "
            "with free space"
        ) from error


def _fingerprint(episode: Episode, fps: float) -> str:
    """Hash of everything in an episode."""
    digest = hashlib.sha256(json.dumps([fps, episode.instruction, _plain(episode.info)], sort_keys=True).encode())
    for kind, arrays in (("frames", episode.frames), ("columns", episode.columns)):
        for name, values in sorted(arrays.items()):
            digest.update(f"{kind} {name} {values.dtype.str} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data if values.dtype.kind != "U" else values.tobytes())
    return digest.hexdigest()


def _plain(info: dict[str, Any]) -> dict[str, Any]:
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in info.items()}


def _check_same(spool: Path, key: str, mark: str) -> None:
    """Raise UserError when the key holds another episode; the same one counts as spooled by this run."""
    if read_facts(spool, key).get("fingerprint") != mark:
        raise UserError(
            f"{spool / key}: holds another episode, spooled before; delete {spool} and run again, "
            "or give this one another key"
        )
    os.utime(spool / key)


def from_earlier_runs(spool: Path) -> list[str]:
    """Keys of episodes that were there before this program began and have not been spooled again since, sorted."""
    return sorted(key for key in spooled_keys(spool) if (spool / key).stat().st_mtime < STARTED)


def spooled_keys(spool: Path) -> set[str]:
    """Keys of the whole episodes in the spool; empty when there is no spool."""
    if not spool.is_dir():
        return set()
    return {entry.name for entry in spool.iterdir() if entry.is_dir() and not entry.name.startswith(".")}


def begun_alike(spool: Path, asked: Mapping[str, Any]) -> bool:
    """Whether the spooled episodes say that they were made of what is asked for now; a spool without episodes notes it.

    asked: name -> a value that JSON has. Raises UserError where a value differs.
    """
    file, now = spool / CALL, json.loads(json.dumps(dict(asked)))
    if not spooled_keys(spool):
        spool.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(now))
        os.replace(partial, file)
        return True
    if not file.exists():
        return False
    begun = json.loads(file.read_text())
    if differs := sorted(name for name in now.keys() | begun.keys() if now.get(name) != begun.get(name)):
        before, after = (_short(call.get(differs[0])) for call in (begun, now))
        raise UserError(
            f"{spool}: was begun with {differs[0]} {before}, now it is {after}; remove it or repeat that call"
        )
    return True


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


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
            return {name.removeprefix(_COLUMN): rows[name] for name in rows.files}
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete this folder") from error
