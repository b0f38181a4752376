"""Datasets written by lerobot read by presage, and ours read by theirs: numbers bit for bit, frames, tasks, statistics
and the padding of windows.

Both readers read both datasets; whatever one returns is compared with what the other returns, and with what was
written. Counts are of single values; a frame difference is in grey levels, over all pixels of all frames. lerobot
decodes frames with each of its video backends that works there.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.lerobot_env import VARIABLE, ask, environments
from presage.episodes.dataset import Dataset
from presage.episodes.episode import Episode
from presage.episodes.layout import CAMERA_PREFIX
from presage.episodes.spool import spool_episode
from presage.episodes.windows import Windows
from presage.episodes.writer import write_dataset

FPS, WINDOW, DRAWN = 10, 8, 64
HEIGHT, WIDTH = 48, 64
SUMMED = ("values_differ", "frames_differ", "tasks_differ", "statistics_differ", "padding_differ")


def run(args: BenchArgs) -> dict[str, Any]:
    """`episodes` to write: 10, of 5 to 40 rows. Totals, then `figure/<lerobot version>, <direction>`.

    `frames_max_difference` is to the nearest of lerobot's backends, `.../<backend>` to each.
    """
    pythons = environments()
    figures: dict[str, Any] = dict.fromkeys((*SUMMED, "frames_max_difference"))
    if not pythons:
        print(f"interop: not measured; {VARIABLE} names no environment that has lerobot", file=sys.stderr)
        return figures
    episodes = make_episodes(3 if args.quick else args.episodes or 10, args.seed)
    for python in tqdm(pythons, desc="interop", unit="version"):
        with tempfile.TemporaryDirectory() as folder:
            version = ask(python, "version")["lerobot"]
            for direction, found in both_directions(python, Path(folder), episodes).items():
                figures |= {f"{name}/{version}, {direction}": value for name, value in found.items()}
    for name in figures:
        if "/" not in name:
            values = [value for key, value in figures.items() if key.startswith(f"{name}/")]
            figures[name] = sum(values) if name in SUMMED else max(values)
    return figures


def make_episodes(count: int, seed: int) -> list[Episode]:
    """Episodes with columns of every kind, two cameras that are not square, and tasks that come back."""
    rng = np.random.default_rng(seed)
    episodes = []
    for number in range(count):
        length = int(rng.integers(5, 41))
        ramp = np.linspace(30, 150, WIDTH)[None, None, :, None] + rng.integers(0, 40, (1, HEIGHT, 1, 3))
        frames = np.repeat(ramp, length, axis=0).astype(np.uint8)
        for t in range(length):
            frames[t, 10:22, t : t + 12] = (220, 40, 5 * t)
        columns: dict[str, np.ndarray] = {
            "action": rng.normal(size=(length, 7)).astype(np.float32),
            "observation.state": rng.normal(size=(length, 2, 3)).astype(np.float32),
            "effort": rng.normal(size=length),
            "next.success": rng.random(length) < 0.3,
            "button": rng.integers(-(2**40), 2**40, length),
        }
        task = f"put block {number % 3} into the box"
        episodes.append(Episode({"front": frames, "wrist": frames[:, ::-1].copy()}, columns, task))
    return episodes


def both_directions(python: Path, folder: Path, episodes: list[Episode]) -> dict[str, dict[str, Any]]:
    """direction -> figures."""
    arrays: dict[str, Any] = {}
    for number, episode in enumerate(episodes):
        arrays |= {f"{number}/{CAMERA_PREFIX}{camera}": frames for camera, frames in episode.frames.items()}
        arrays |= {f"{number}/{name}": column for name, column in episode.columns.items()}
        arrays[f"{number}/task"] = np.array(episode.instruction)
    np.savez(folder / "episodes.npz", **arrays)
    ask(python, "write", folder / "episodes.npz", folder / "theirs", FPS)
    for number, episode in enumerate(episodes):
        spool_episode(folder / "ours.partial", f"{number:04d}", episode, FPS)
    write_dataset(folder / "ours.partial", folder / "ours", fps=FPS, robot_type="arm")
    return {
        "theirs read by presage": _compare(python, folder / "theirs", episodes),
        "ours read by lerobot": _compare(python, folder / "ours", episodes),
    }


@dataclass(frozen=True)
class Reading:
    """What a reader makes of a dataset."""

    rows: dict[str, np.ndarray]
    """Feature -> (R, ...)."""
    tasks: list[str]
    """Task of each row."""
    statistics: dict[str, np.ndarray]
    """`feature/figure`."""
    windows: dict[str, np.ndarray]
    """Feature -> (W, N, ...)."""
    is_pad: np.ndarray
    """(W, N)."""


def _compare(python: Path, root: Path, episodes: list[Episode]) -> dict[str, Any]:
    """Read `root` with both, compare them with each other and with what was written."""
    ours, frames, starts = _read_ours(root)
    request, out = root.with_suffix(".request.npz"), root.with_suffix(".npz")
    np.savez(request, window=WINDOW, starts=starts)
    answer = ask(python, "read", root, request, out)
    backends = answer["backends"]
    found = dict(np.load(out))
    theirs = Reading(
        _part(found, "rows"),
        list(found["rows/task"]),
        _part(found, "stats"),
        _part(found, "windows"),
        found["windows/action_is_pad"],
    )
    written = {name: np.concatenate([e.columns[name] for e in episodes]) for name in episodes[0].columns}
    tasks = [episode.instruction for episode in episodes for _ in range(episode.length)]
    figures: dict[str, Any] = {
        "rows": len(tasks),
        "values": sum(column.size for column in ours.rows.values()),
        "values_rounded_by_lerobot": _rounded(ours.rows, theirs.rows),
        "values_differ": _differing(ours.rows, theirs.rows)
        + _differing(ours.rows, written)
        + _differing({"action": ours.windows["action"]}, theirs.windows),
        "frames": sum(len(images) for images in frames.values()),
        "tasks_differ": sum(a != b or a != c for a, b, c in zip(ours.tasks, theirs.tasks, tasks, strict=True)),
        "statistics": len(ours.statistics),
        "statistics_differ": _differing(ours.statistics, theirs.statistics)
        + len(ours.statistics.keys() ^ theirs.statistics.keys()),
        "windows": len(starts),
        "padding_differ": sum(int((ours.is_pad != found[name]).sum()) for name in found if name.endswith("_is_pad")),
    }
    for backend, reason in answer["failed"].items():
        print(f"interop: lerobot's backend {backend} does not work there: {reason}", file=sys.stderr)
    for backend in backends:
        figures[f"frames_max_difference_{backend}"] = max(
            _largest(images, found[f"frames/{CAMERA_PREFIX}{camera}/{backend}"]) for camera, images in frames.items()
        )
    nearest = min(backends, key=lambda backend: figures[f"frames_max_difference_{backend}"])
    figures["frames_max_difference"] = figures[f"frames_max_difference_{nearest}"]
    figures["frames_differ"] = sum(
        int((images != found[f"frames/{CAMERA_PREFIX}{camera}/{nearest}"]).any(axis=(1, 2, 3)).sum())
        for camera, images in frames.items()
    )
    figures["window_frames_max_difference"] = max(
        _largest(ours.windows[name], images)
        for name, images in theirs.windows.items()
        if name.startswith(CAMERA_PREFIX) and not name.endswith("_is_pad")
    )
    return figures


def _read_ours(root: Path) -> tuple[Reading, dict[str, np.ndarray], np.ndarray]:
    """(what presage reads, camera -> all frames (R, H, W, 3), first row (W,) of the windows drawn)."""
    dataset = Dataset(root)
    rows = {name: dataset.column(name) for name, f in dataset.features.items() if f["dtype"] not in ("video", "image")}
    episodes = range(len(dataset.episodes))
    frames = {camera: np.concatenate(list(dataset.iterate_frames(episodes, camera))) for camera in dataset.cameras}
    drawn, is_pad = Windows(dataset.lengths, WINDOW).sample(DRAWN)
    windows = {CAMERA_PREFIX + camera: images[drawn] for camera, images in frames.items()}
    windows["action"] = rows["action"][drawn]
    statistics = {
        f"{name}/{figure}": value for name, figures in dataset.stats.items() for figure, value in figures.items()
    }
    reading = Reading(
        rows,
        [dataset.tasks[i] for i in rows["task_index"]],
        statistics,
        windows,
        is_pad,
    )
    return reading, frames, drawn[:, 0]


def _part(found: dict[str, np.ndarray], folder: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{folder}/"): value for name, value in found.items() if name.startswith(f"{folder}/")}


def _rounded(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> int:
    """Values of float64 that lerobot hands out as float32, changed by that. What is on disk has all digits."""
    halved = [name for name in ours.keys() & theirs.keys() if ours[name].dtype.itemsize > theirs[name].dtype.itemsize]
    return sum(int((ours[name] != theirs[name].reshape(ours[name].shape)).sum()) for name in halved)


def _differing(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> int:
    """Values that are not bit for bit equal, over the names that both have; floats in the coarser type of the two."""
    count = 0
    for name in one.keys() & other.keys():
        a, b = one[name], np.asarray(other[name]).reshape(one[name].shape)
        kind = min(a.dtype, b.dtype, key=lambda dtype: dtype.itemsize) if a.dtype.kind == "f" else a.dtype
        a, b = (np.ascontiguousarray(x, dtype=kind) for x in (a, b))
        count += int((a.view(f"u{kind.itemsize}") != b.view(f"u{kind.itemsize}")).sum())
    return count


def _largest(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(np.int16) - other.astype(np.int16)).max())
