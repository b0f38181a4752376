"""Decoded frames and computed arrays kept beside a dataset, so that training never waits for video decoding.

Files lie in ``<root>/.cache/`` as plain .npy, named by what they hold and by a fingerprint of everything they follow
from; a changed dataset has another fingerprint and gets a new file. They are read through a memory map, so they may be
larger than memory. They are built under a temporary name and renamed when whole; what a killed build had filled is
taken over by the next one. Their size is checked against the free space of the disk first.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import av
import numpy as np
from PIL import Image
from tqdm import tqdm

from presage.episodes.dataset import Dataset
from presage.episodes.disk import file_hash, require_space
from presage.errors import UserError

_EPISODES_PER_JOB = 16
_SAVE_SECONDS = 5.0  # a killed build loses at most this much work
_VERSION = "3"  # part of every fingerprint: raise it when the meaning of a cached file changes


def frame_cache(dataset: Dataset, cameras: Sequence[str], size: int) -> np.memmap:
    """All frames of the dataset: (N rows, cameras, size, size, 3) uint8, read only and memory-mapped.

    Built once, in parallel, with a progress line; a killed build goes on where it was; later calls open the file.
    Frames that are not square are cropped to their centre, those of another size are averaged to ``size``. Raises
    UserError when a video is damaged, the folder cannot be written or the disk is too small.
    """
    path = _cache_path(dataset, f"frames-{size}-{'-'.join(cameras)}", str(list(cameras)))
    if not path.exists():
        shape = (dataset.num_rows, len(cameras), size, size, 3)
        jobs = _frame_jobs(dataset, cameras)
        with _Building(path) as building:
            frames, done = building.open(shape, np.uint8, len(jobs))
            left = [number for number in range(len(jobs)) if number not in done]
            building.save(_decode_into(frames, dataset, cameras, jobs, left))
    return np.load(path, mmap_mode="r")


def row_cache(
    dataset: Dataset,
    name: str,
    compute: Callable[[slice], np.ndarray],
    key: str = "",
    block: int = 128,
) -> np.memmap:
    """An array with one entry per row, such as latents, computed block by block: (N, ...), read only, memory-mapped.

    compute: rows -> their entries (n, ...); called for blocks of ``block`` rows, with a progress line; a killed build
    goes on where it was. key: everything besides the dataset that the array follows from, for example a hash of the
    weights that computed it. Raises UserError when the folder cannot be written or the disk is too small.
    """
    path = _cache_path(dataset, name, key)
    if not path.exists():
        blocks = [slice(row, min(row + block, dataset.num_rows)) for row in range(0, dataset.num_rows, block)]
        first = compute(blocks[0])
        with _Building(path) as building:
            array, done = building.open((dataset.num_rows, *first.shape[1:]), first.dtype, len(blocks))

            def fill() -> Iterator[int]:
                left = [number for number in range(len(blocks)) if number not in done]
                for number in tqdm(left, desc=f"computing {name}", unit="block"):
                    array[blocks[number]] = first if number == 0 else compute(blocks[number])
                    yield number

            building.save(fill())
    return np.load(path, mmap_mode="r")


def fingerprint(dataset: Dataset) -> str:
    """Hash over names and contents of all files of the dataset; pictures may lie anywhere in it."""
    digest = hashlib.sha256()
    for path in sorted(dataset.root.rglob("*")):
        name = path.relative_to(dataset.root)
        own = name.parts[0] in ("meta", "data", "videos") or path.suffix.lower() in Image.registered_extensions()
        if own and path.is_file():
            digest.update(f"{name} {file_hash(path)}\n".encode())
    return digest.hexdigest()


def _cache_path(dataset: Dataset, name: str, key: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_.\-]+", name):
        raise UserError(f"cache name {name!r} is not allowed; use letters, digits, '_', '-' and '.'")
    if dataset.view:
        name += f"-{hashlib.sha256(dataset.view.encode()).hexdigest()[:8]}"
    mark = hashlib.sha256(f"{_VERSION} {fingerprint(dataset)} {key}".encode()).hexdigest()[:16]
    return dataset.root / ".cache" / f"{name}.{mark}.npy"


class _Building:
    """``with _Building(path) as building``: fill a hidden file, renamed ``path`` when the block ends without an error.

    Beside it lies a journal: its first line says what the file holds, every further line is a finished piece. A kill
    leaves both for the next process; an error removes them.
    """

    def __init__(self, path: Path):
        self._path = path
        self._hidden = path.with_name(f".{path.name}.{os.getpid()}")
        self._journal = Path(f"{self._hidden}.done")
        self._array: np.memmap

    def __enter__(self) -> "_Building":
        try:
            self._path.parent.mkdir(exist_ok=True)
            self._take_over()
            self._hidden.touch()
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            name = self._path.name.rsplit(".", 2)[0]
            for old in self._path.parent.glob(f"{name}.*.npy"):
                if re.fullmatch(re.escape(name) + r"\.[0-9a-f]{16}\.npy", old.name):
                    old.unlink()  # same contents of an earlier state of the dataset
            os.replace(self._hidden, self._path)
            self._journal.unlink(missing_ok=True)
            return
        if not issubclass(kind, Exception):  # Ctrl-C: what is there is good
            return
        self._hidden.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, av.FFmpegError):
            raise self._unwritable(error) from error

    def open(self, shape: tuple[int, ...], dtype: np.dtype | type, pieces: int) -> tuple[np.memmap, set[int]]:
        """The array to fill, and which of its ``pieces`` a killed build had filled already."""
        head = f"{np.dtype(dtype).str} {shape} in {pieces} pieces"
        # Behind the last line break stands nothing, or what a power cut left of a line.
        lines = self._journal.read_text().split("\n")[:-1] if self._journal.exists() else []
        if lines[:1] == [head]:
            self._array = np.lib.format.open_memmap(self._hidden, mode="r+")
            return self._array, {int(line) for line in lines[1:]}
        needed = int(np.prod(shape)) * np.dtype(dtype).itemsize
        require_space(self._path.parent, needed, f"the cache {self._path.name.rsplit('.', 2)[0]}")
        self._array = np.lib.format.open_memmap(self._hidden, mode="w+", dtype=dtype, shape=shape)
        with self._hidden.open("r+b") as file:  # writing into a map of a full disk would kill the process
            os.posix_fallocate(file.fileno(), 0, self._hidden.stat().st_size)
        self._journal.write_text(f"{head}\n")
        return self._array, set()

    def save(self, finished: Iterable[int]) -> None:
        """Run through the pieces, each already in the array when its number comes, and note them every few seconds."""
        fresh: list[int] = []
        saved = time.monotonic()
        try:
            for piece in finished:
                fresh.append(piece)
                if time.monotonic() - saved >= _SAVE_SECONDS:
                    self._note(fresh)
                    fresh, saved = [], time.monotonic()
        finally:
            self._note(fresh)

    def _note(self, pieces: list[int]) -> None:
        self._array.flush()  # first the contents, then the claim that they are there
        with self._journal.open("a") as journal:
            journal.writelines(f"{piece}\n" for piece in pieces)

    def _take_over(self) -> None:
        """Rename what a killed process left of this file to this process's own; delete what is of no use any more."""
        name = self._path.name.rsplit(".", 2)[0]
        for path in self._path.parent.glob(".*.npy.*"):
            left = re.fullmatch(r"\.(.+)\.([0-9a-f]{16})\.npy\.(\d+)", path.name)
            if left is None or (int(left[3]) != os.getpid() and _is_running(int(left[3]))):
                continue
            journal = Path(f"{path}.done")
            if path.name.startswith(f".{self._path.name}.") and journal.exists() and not self._journal.exists():
                os.replace(path, self._hidden)
                os.replace(journal, self._journal)
            elif path != self._hidden and left[1] == name:
                path.unlink(missing_ok=True)
                journal.unlink(missing_ok=True)

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


def _frame_jobs(dataset: Dataset, cameras: Sequence[str]) -> list[tuple[int, str, range]]:
    """(slot, camera, episodes) of each piece of a frame cache."""
    numbers = range(len(dataset.episodes))
    per_job = _EPISODES_PER_JOB * dataset.phases
    return [
        (slot, camera, numbers[start : start + per_job])
        for slot, camera in enumerate(cameras)
        for start in range(0, len(numbers), per_job)
    ]


def _decode_into(
    frames: np.ndarray,
    dataset: Dataset,
    cameras: Sequence[str],
    jobs: list[tuple[int, str, range]],
    left: list[int],
) -> Iterator[int]:
    """Fill frames (N, cameras, size, size, 3), yielding each job that is done; threads suffice, decoding runs outside
    Python's lock."""

    def decode(number: int) -> int:
        slot, camera, episodes = jobs[number]
        for episode, images in zip(episodes, dataset.iterate_squares(episodes, camera, frames.shape[2])):
            frames[dataset.episodes[episode].rows, slot] = images
        return number

    def rows(numbers: Iterable[int]) -> int:
        return sum(dataset.episodes[episode].length for number in numbers for episode in jobs[number][2])

    total = dataset.num_rows * len(cameras)
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(
            total=total, initial=total - rows(left), desc=f"decoding {dataset.root.name}", unit="frame", unit_scale=True
        ) as progress,
    ):
        tasks = [pool.submit(decode, number) for number in left]
        try:
            for task in as_completed(tasks):
                progress.update(rows([task.result()]))
                yield task.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
