"""Batches of random windows, decoded ahead of training by several threads.

    loader = Loader([Dataset("data/mine")], batch=32, window=8, columns=["action"])
    for batch in loader.batches(start=step):   # endless; a resumed run gives the step it stands at
        batch.frames["front"], batch.columns["action"], batch.is_pad

Which windows a step holds follows from the seed and the step's number alone, never from threads, caches or what was
loaded before: the number of the next step is all that a checkpoint needs.

Windows of several steps (a horizon) are ordered together, by file and by position in it: a frame that several of them
show is decoded once, and each file is passed through forwards, from key frame to key frame. Decoding, conversion and
copying run outside Python's lock, so threads do it, and frames need not travel between processes.

Shapes: B windows, N rows of a window, H x W pixels.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from av.video.reformatter import VideoReformatter

from presage.episodes.cache import frame_cache
from presage.episodes.clock import Shown
from presage.episodes.dataset import Dataset
from presage.episodes.fit import squares
from presage.episodes.mixture import Mixture
from presage.episodes.video import VideoReader, rgb_pixels
from presage.episodes.windows import Windows
from presage.errors import UserError

MAX_OPEN = 64
"""Videos kept open between requests; opening one means reading its whole table of frames."""
_FRAMES_PER_JOB = 64


@dataclass(frozen=True)
class Batch:
    """The windows of one step."""

    step: int
    source: np.ndarray
    """(B,) int64: number of the dataset each window comes from."""
    rows: np.ndarray
    """(B, N) int64: rows of that dataset, by which anything kept beside it is looked up, for example cached latents."""
    is_pad: np.ndarray
    """(B, N) bool: behind the end of the episode, where the last row is repeated."""
    frames: dict[str, np.ndarray]
    """Camera -> (B, N, H, W, 3) uint8 RGB."""
    columns: dict[str, np.ndarray]
    """Feature -> (B, N, ...), as ``Dataset.column`` has it: NaN where nothing was recorded."""


class Loader:
    """Random windows of one or several datasets.

    Args:
        datasets: read together; all of them have the cameras and columns that are asked for.
        batch: windows per step, B.
        window: rows per window, N, ``stride`` rows apart; clamped to the episode and marked in ``is_pad``.
        weights: share of each dataset, counted in windows; by default its share of all rows.
        cameras: by default those of the first dataset.
        columns: features to bring along.
        size: crop frames to their central square and average them to this many pixels; by default they stay as they
            are.
        cached: read frames from ``frame_cache``, which is built first; needs a size.
        threads: that decode.
        horizon: steps whose windows are ordered together. The frames of up to three horizons are in memory.

    Raises UserError, one line, when a camera or column is missing somewhere or the datasets do not fit together.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        batch: int,
        window: int,
        *,
        stride: int = 1,
        weights: Sequence[float] | None = None,
        cameras: Sequence[str] | None = None,
        columns: Sequence[str] = (),
        size: int | None = None,
        cached: bool = False,
        seed: int = 0,
        threads: int = 2,
        horizon: int = 4,
    ) -> None:
        if not datasets:
            raise UserError("no dataset to load from: give at least one")
        if min(batch, threads, horizon) < 1:
            raise UserError(f"batch {batch}, threads {threads} and horizon {horizon} must be at least 1")
        self.cameras = list(datasets[0].cameras if cameras is None else cameras)
        self.batch, self.threads, self.horizon = batch, threads, horizon
        self._datasets = list(datasets)
        self._draw = _Draw(datasets, batch, window, stride, weights, seed)
        self._columns = {name: [dataset.column(name) for dataset in datasets] for name in columns}
        for name, parts in self._columns.items():
            _check_equal(f"column {name!r} has shape", datasets, [part.shape[1:] for part in parts])
        self._source: _Videos | _Cache = (
            _Cache(datasets, self.cameras, size) if cached else _Videos(datasets, self.cameras, size)
        )

    def batches(self, start: int = 0) -> Generator[Batch, None, None]:
        """Every step from ``start`` on, without end. Closing the iterator stops the threads.

        Raises UserError, at the step that needs it, when a video is damaged.
        """
        draws = self._draw.from_step(start)
        with self._source.opened() as source, _worker_threads(self.threads) as pool:
            queue: deque[tuple[list[Batch], list[Future[None]]]] = deque()
            while True:
                while len(queue) < 2:  # beside the one that is consumed: threads never wait for the consumer
                    steps = [self._allocate(*next(draws)) for _ in range(self.horizon)]
                    queue.append((steps, [pool.submit(job) for job in source.jobs(steps)]))
                steps, futures = queue.popleft()
                for future in futures:
                    future.result()
                yield from steps

    def _allocate(self, step: int, source: np.ndarray, rows: np.ndarray, is_pad: np.ndarray) -> Batch:
        """The batch of a step, its frames still to be filled."""
        frames = {camera: np.empty((*rows.shape, *self._source.shapes[camera], 3), np.uint8) for camera in self.cameras}
        columns = {}
        for name, parts in self._columns.items():
            columns[name] = np.empty((*rows.shape, *parts[0].shape[1:]), np.result_type(*parts))
            for number, part in enumerate(parts):
                columns[name][source == number] = part[rows[source == number]]
        return Batch(step, source, rows, is_pad, frames, columns)


class _Draw:
    """Which windows each step holds."""

    def __init__(
        self,
        datasets: Sequence[Dataset],
        batch: int,
        window: int,
        stride: int,
        weights: Sequence[float] | None,
        seed: int,
    ) -> None:
        self._parts = [(dataset.lengths, window, stride, seed + number) for number, dataset in enumerate(datasets)]
        self._weights = [dataset.num_rows for dataset in datasets] if weights is None else weights
        self._batch, self._seed = batch, seed
        self._mixture()  # reports wrong weights and windows now, not at the first step

    def _mixture(self) -> Mixture:
        return Mixture([Windows(*part) for part in self._parts], self._weights, self._seed)

    def from_step(self, start: int) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """(step, source (B,), rows (B, N), is_pad (B, N)) of every step from ``start`` on."""
        if start < 0:
            raise UserError(f"cannot start at step {start}: give 0 or more")
        mixture = self._mixture()
        mixture.seek(start, self._batch)
        step = start
        while True:
            yield step, *mixture.sample(self._batch)
            step += 1


class _Cache:
    """Frames from the frame caches of the datasets."""

    def __init__(self, datasets: Sequence[Dataset], cameras: Sequence[str], size: int | None) -> None:
        if size is None:
            raise UserError("a cache of frames needs their size: give size in pixels")
        self.shapes = dict.fromkeys(cameras, (size, size))
        self._frames = [frame_cache(dataset, cameras, size) for dataset in datasets]
        self._cameras = list(cameras)

    @contextmanager
    def opened(self) -> Iterator["_Cache"]:
        yield self

    def jobs(self, steps: Sequence[Batch]) -> Iterator[Callable[[], None]]:
        """Each fills the frames of one step."""
        return (lambda step=step: self._fill(step) for step in steps)  # type: ignore[misc]

    def _fill(self, step: Batch) -> None:
        for b, (number, rows) in enumerate(zip(step.source, step.rows)):
            cached = self._frames[number]
            window = cached[rows[0] : rows[-1] + 1] if (np.diff(rows) == 1).all() else cached[rows]
            for slot, camera in enumerate(self._cameras):
                step.frames[camera][b] = window[:, slot]


@dataclass(frozen=True)
class _Track:
    """Where the frames of one camera of one dataset lie."""

    files: list[Path]
    file: np.ndarray
    """(R,) int64: file of each row."""
    seconds: np.ndarray
    """(R,) float64: time of each row inside its file."""
    shown: list[list[Shown]]
    """Episodes in each file."""
    fps: float


class _Videos:
    """Frames decoded from the videos of the datasets."""

    def __init__(self, datasets: Sequence[Dataset], cameras: Sequence[str], size: int | None) -> None:
        self._size = size
        self._tracks = {camera: [_track(dataset, camera) for dataset in datasets] for camera in cameras}
        self.shapes: dict[str, tuple[int, int]] = dict.fromkeys(cameras, (size or 0, size or 0))
        if size is None:
            for camera, tracks in self._tracks.items():
                found = [_frame_shape(track) for track in tracks]
                _check_equal(f"camera {camera!r} has frames of", datasets, found, "; give a size")
                self.shapes[camera] = found[0]
        self._readers: _Readers

    @contextmanager
    def opened(self) -> Iterator["_Videos"]:
        self._readers = _Readers(MAX_OPEN)
        try:
            yield self
        finally:
            self._readers.close()

    def jobs(self, steps: Sequence[Batch]) -> Iterator[Callable[[], None]]:
        """Each decodes some runs of one file into every place that shows them."""
        source = np.concatenate([step.source for step in steps])
        rows = np.concatenate([step.rows for step in steps])
        for camera, tracks in self._tracks.items():
            places = [step.frames[camera][b] for step in steps for b in range(len(step.rows))]
            for number, track in enumerate(tracks):
                windows = np.flatnonzero(source == number)
                if len(windows):
                    yield from self._jobs_of(track, rows[windows], [places[w] for w in windows])

    def _jobs_of(self, track: _Track, rows: np.ndarray, places: list[np.ndarray]) -> Iterator[Callable[[], None]]:
        """Jobs of one track. rows (W, N); places: W arrays (N, H, W, 3)."""
        wanted, inverse = np.unique(rows, return_inverse=True)
        order = np.lexsort((track.seconds[wanted], track.file[wanted]))
        targets = np.split(
            np.argsort(inverse.reshape(-1), kind="stable"), np.cumsum(np.bincount(inverse.reshape(-1)))[:-1]
        )
        file, seconds = track.file[wanted][order], track.seconds[wanted][order]
        for start, stop in _pieces(file, seconds, track.fps):
            shown = [[divmod(int(i), rows.shape[1]) for i in targets[k]] for k in order[start:stop]]
            path, episodes = track.files[file[start]], track.shown[file[start]]
            yield _Job(self, path, track.fps, episodes, seconds[start:stop], shown, places)

    def decode(self, job: "_Job") -> None:
        reformatter = VideoReformatter()
        square = None if self._size is None else squares(self._size, "crop")
        with self._readers.borrow(job.path, job.fps, job.episodes) as reader:
            for i, frame in reader.read(job.seconds):
                pixels = rgb_pixels(frame, reformatter)
                if square is not None:
                    pixels = square(pixels)
                for window, n in job.shown[i]:
                    job.places[window][n] = pixels


@dataclass(frozen=True)
class _Job:
    """Frames of one file, and the windows that show them."""

    videos: _Videos
    path: Path
    fps: float
    episodes: list[Shown]
    seconds: np.ndarray
    shown: list[list[tuple[int, int]]]
    """For each frame the (window, n) that show it."""
    places: list[np.ndarray]

    def __call__(self) -> None:
        self.videos.decode(self)


class _Readers:
    """Open videos, lent to one thread at a time; the one unused longest is closed when there are too many."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, Lock()
        self._idle: list[VideoReader] = []

    @contextmanager
    def borrow(self, path: Path, fps: float, episodes: list[Shown]) -> Iterator[VideoReader]:
        with self._lock:
            reader = next((reader for reader in reversed(self._idle) if reader.path == path), None)
            if reader is not None:
                self._idle.remove(reader)
        reader = reader or VideoReader(path, fps, episodes)
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        with self._lock:
            self._idle.append(reader)
            surplus = self._idle[: -self._limit]
            del self._idle[: -self._limit]
        for old in surplus:
            old.close()

    def close(self) -> None:
        for reader in self._idle:
            reader.close()


@contextmanager
def _worker_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(count, thread_name_prefix="loader")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _track(dataset: Dataset, camera: str) -> _Track:
    places = dataset.video_places(camera)
    files = list(dict.fromkeys(path for path, _ in places))
    number = {path: i for i, path in enumerate(files)}
    lengths = dataset.lengths
    inside = np.arange(dataset.num_rows) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return _Track(
        files,
        np.repeat([number[path] for path, _ in places], lengths),
        np.repeat([seconds for _, seconds in places], lengths) + inside / dataset.fps,
        [
            dataset.shown_in(path.relative_to(dataset.root).as_posix(), dataset.camera_features[camera])
            for path in files
        ],
        dataset.fps,
    )


def _frame_shape(track: _Track) -> tuple[int, int]:
    reader = VideoReader(track.files[0], track.fps)
    try:
        return reader.shape
    finally:
        reader.close()


def _pieces(file: np.ndarray, seconds: np.ndarray, fps: float) -> Iterator[tuple[int, int]]:
    """(start, stop) of jobs over frames sorted by file and time: one file each, cut between runs of frames."""
    new_file = np.diff(file) != 0
    gaps = np.flatnonzero(new_file | (np.diff(seconds) > 1.5 / fps)) + 1
    start = 0
    for gap, stop in zip(gaps, [*gaps[1:], len(file)]):
        if new_file[gap - 1] or stop - start > _FRAMES_PER_JOB:
            yield start, int(gap)
            start = int(gap)
    yield start, len(file)


def _check_equal(what: str, datasets: Sequence[Dataset], found: Sequence[tuple[int, ...]], remedy: str = "") -> None:
    for dataset, shape in zip(datasets, found):
        if shape != found[0]:
            raise UserError(
                f"{dataset.root}: {what} {shape}, in {datasets[0].root} it is {found[0]}{remedy or '; load them apart'}"
            )
