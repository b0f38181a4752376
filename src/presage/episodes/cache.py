"""Decoded frames and computed arrays kept beside a dataset, so that training never waits for video decoding.

Files lie in ``<root>/.cache/`` as plain .npy, named by what they hold and by a fingerprint of everything they follow
from; a changed dataset has another fingerprint and gets a new file. They are built under a temporary name and renamed
when whole.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from presage.episodes.dataset import Dataset
from presage.episodes.disk import require_space
from presage.errors import UserError

_EPISODES_PER_JOB = 16
_VERSION = "1"  # part of every fingerprint: raise it when the meaning of a cached file changes


def frame_cache(dataset: Dataset, cameras: Sequence[str], size: int) -> np.memmap:
    """All frames of the dataset: (N rows, cameras, size, size, 3) uint8, read only and memory-mapped.

    Built once, in parallel, with a progress line; later calls open the file. Frames that are not square are cropped to
    their centre, those of another size are averaged to ``size``. Raises UserError when a video is damaged or the
    folder cannot be written.
    """
    path = _cache_path(dataset, f"frames-{size}-{'-'.join(cameras)}", "")
    if not path.exists():
        shape = (dataset.num_rows, len(cameras), size, size, 3)
        require_space(path, int(np.prod(shape)), f"decoding {dataset.num_rows:,} rows at {size} pixels")
        with _Building(path) as hidden:
            frames = np.lib.format.open_memmap(hidden, mode="w+", dtype=np.uint8, shape=shape)
            _decode_into(frames, dataset, cameras, size)
            frames.flush()
    return np.load(path, mmap_mode="r")


def array_cache(
    dataset: Dataset,
    name: str,
    build: Callable[[], np.ndarray | Iterable[np.ndarray]],
    key: str = "",
) -> np.memmap:
    """An array with one entry per row, such as latents: (N, ...), read only and memory-mapped.

    build: called when the file is not there; returns the array, or its consecutive blocks of rows when it would not
    fit into memory. key: everything besides the dataset that the array follows from, for example a hash of the
    weights that computed it. Raises UserError when the folder cannot be written.
    """
    path = _cache_path(dataset, name, key)
    if not path.exists():
        with _Building(path) as hidden:
            built = build()
            _write_blocks(hidden, [built] if isinstance(built, np.ndarray) else built, dataset.num_rows)
    return np.load(path, mmap_mode="r")


def fingerprint(dataset: Dataset) -> str:
    """Hash over names, sizes and modification times of all files of the dataset."""
    digest = hashlib.sha256()
    for folder in ("meta", "data", "videos"):
        for path in sorted((dataset.root / folder).rglob("*")):
            if path.is_file():
                entry = path.stat()
                digest.update(f"{path.relative_to(dataset.root)} {entry.st_size} {entry.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _cache_path(dataset: Dataset, name: str, key: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_.\-]+", name):
        raise UserError(f"cache name {name!r} is not allowed; use letters, digits, '_', '-' and '.'")
    if dataset.view:
        name += f"-{hashlib.sha256(dataset.view.encode()).hexdigest()[:8]}"
    mark = hashlib.sha256(f"{_VERSION} {fingerprint(dataset)} {key}".encode()).hexdigest()[:16]
    return dataset.root / ".cache" / f"{name}.{mark}.npy"


class _Building:
    """``with _Building(path) as hidden``: write ``hidden``, renamed ``path`` when the block ends without an error."""

    def __init__(self, path: Path):
        self._path = path
        self._hidden = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> Path:
        try:
            self._path.parent.mkdir(exist_ok=True)
            self._remove_leftovers()
            self._hidden.touch()
        except OSError as error:
            raise self._unwritable(error) from error
        return self._hidden

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            name = self._path.name.rsplit(".", 2)[0]
            for old in self._path.parent.glob(f"{name}.*.npy"):
                if re.fullmatch(re.escape(name) + r"\.[0-9a-f]{16}\.npy", old.name):
                    old.unlink()  # same contents of an earlier state of the dataset
            os.replace(self._hidden, self._path)
            return
        self._hidden.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, av.FFmpegError):
            raise self._unwritable(error) from error

    def _remove_leftovers(self) -> None:
        """Delete what killed processes left half-built."""
        for path in self._path.parent.glob(".*.npy.*"):
            pid = path.name.rsplit(".", 1)[1]
            if pid.isdigit() and not _is_running(int(pid)):
                path.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(
            f"{self._path.parent}: cannot be written ({error.strerror or error}); "
            "make the dataset folder writable or free space"
        )


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _decode_into(frames: np.ndarray, dataset: Dataset, cameras: Sequence[str], size: int) -> None:
    """Fill frames (N, cameras, size, size, 3); threads suffice, decoding runs outside Python's lock."""
    numbers = range(len(dataset.episodes))
    per_job = _EPISODES_PER_JOB * dataset.phases
    jobs = [
        (slot, camera, numbers[start : start + per_job])
        for slot, camera in enumerate(cameras)
        for start in range(0, len(numbers), per_job)
    ]

    def decode(job: tuple[int, str, range]) -> int:
        slot, camera, episodes = job
        for number, images in zip(episodes, dataset.iterate_squares(episodes, camera, size)):
            frames[dataset.episodes[number].rows, slot] = images
        return sum(dataset.episodes[number].length for number in episodes)

    total = dataset.num_rows * len(cameras)
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=total, desc=f"decoding {dataset.root.name}", unit="frame", unit_scale=True) as progress,
    ):
        tasks = [pool.submit(decode, job) for job in jobs]
        try:
            for task in tasks:
                progress.update(task.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_blocks(path: Path, blocks: Iterable[np.ndarray], rows: int) -> None:
    """Write consecutive blocks (n, ...) as one .npy of (rows, ...)."""
    array: np.memmap | None = None
    filled = 0
    for block in blocks:
        if array is None:
            array = np.lib.format.open_memmap(path, mode="w+", dtype=block.dtype, shape=(rows, *block.shape[1:]))
        array[filled : filled + len(block)] = block
        filled += len(block)
    if array is None or filled != rows:
        raise ValueError(f"array cache {path.name}: built {filled} rows for a dataset of {rows}")
    array.flush()
