"""A LeRobotDataset on disk, read only: v3.0 and v2.x."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa

from presage.episodes.fit import squares
from presage.episodes.layout import CAMERA_PREFIX
from presage.episodes.metadata import EpisodeRecord, read_metadata, read_table
from presage.episodes.video import Convert, decode_spans
from presage.errors import UserError


class Dataset:
    """A LeRobotDataset folder.

    fps: rows per second. cameras: camera names without the ``observation.images.`` prefix. camera_features: camera ->
    name of its feature. features: info.json's features. stats: feature -> {mean, std, min, max, count, quantiles}.
    tasks: text of each task_index. episodes: one EpisodeRecord each, in order. num_rows: rows N of all episodes together.

    chosen: numbers of the episodes to read, all by default; the files of others need not be there. Rows are then counted
    within the chosen episodes, whose ``index`` stays the number in the whole dataset. tolerated: where given, damage that
    leaves the episodes readable is put there instead of being raised.

    Raises UserError, one line naming file, field and remedy, whenever a file is missing or damaged.
    """

    phases = 1
    """Consecutive episodes that show the same frames; more than one in views that regroup rows."""

    def __init__(self, root: str | Path, chosen: Sequence[int] | None = None, tolerated: list[UserError] | None = None):
        self.root = Path(root)
        metadata = read_metadata(self.root, tolerated)
        self.version: str = metadata.info["codebase_version"]
        self.fps = float(metadata.info["fps"])
        self.robot_type: str | None = metadata.info.get("robot_type")
        self.features: dict[str, dict[str, Any]] = metadata.info["features"]
        self.stats = metadata.stats
        self.tasks = metadata.tasks
        self.episodes: list[EpisodeRecord] = metadata.episodes
        self.view = ""
        """Which part or arrangement of the files this is; part of the names of caches."""
        self._file_rows: dict[str, int] = {}
        for episode in metadata.episodes:
            for file in (episode.data_file, *(video for video, _ in episode.videos.values())):
                self._file_rows[file] = self._file_rows.get(file, 0) + episode.length
        if chosen is not None:
            self.episodes = _choose(metadata.episodes, chosen, self.root)
            self.view = f"episodes {list(chosen)}"
        self.num_rows = sum(episode.length for episode in self.episodes)
        self.camera_features = {
            name.removeprefix(CAMERA_PREFIX): name for name, feature in self.features.items() if _is_camera(feature)
        }
        self.cameras = list(self.camera_features)
        self._columns: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each episode (E,) int64."""
        return np.array([episode.length for episode in self.episodes], dtype=np.int64)

    def rows_in(self, file: str) -> int:
        """Rows of all episodes in a data or video file, chosen or not."""
        return self._file_rows.get(file, 0)

    def column(self, name: str) -> np.ndarray:
        """All rows of a feature: (N, ...); (N,) where the feature's shape is (1,). Treat it as read only.

        Rows of episodes that did not record the feature are NaN (0, False or "" where the type has no NaN);
        ``recorded(name)`` tells them apart. Raises UserError when the column is missing or holds NaN itself.
        """
        return self._read(name)[0]

    def recorded(self, name: str) -> np.ndarray:
        """(N,) bool: whether each row recorded the feature."""
        return self._read(name)[1]

    def frames(self, episode: int, camera: str) -> np.ndarray:
        """The frames of one episode: (T, H, W, 3) uint8 RGB. Decodes these frames and no others."""
        return next(self.iterate_frames([episode], camera))

    def iterate_frames(self, episodes: Sequence[int], camera: str, convert: Convert | None = None) -> Iterator[np.ndarray]:
        """Yield ``frames(episode, camera)`` for ascending episodes, opening each video file once.

        convert: applied to every frame (H, W, 3) as soon as it is decoded.
        """
        name = self._camera_feature(camera)
        records = [self.episodes[episode] for episode in episodes]
        if self.features[name]["dtype"] == "image":
            yield from (self._embedded_images(record, name, convert) for record in records)
            return
        for path, group in groupby(records, key=lambda record: record.videos[name][0]):
            spans = [(record.videos[name][1], record.length) for record in group]
            yield from decode_spans(self.root / path, spans, self.fps, convert)

    def iterate_squares(self, episodes: Sequence[int], camera: str, size: int) -> Iterator[np.ndarray]:
        """``iterate_frames`` as the model sees them: (T, size, size, 3), cropped to their centre and averaged."""
        yield from self.iterate_frames(episodes, camera, squares(size, "crop"))

    def video_places(self, camera: str) -> list[tuple[Path, float]]:
        """(file, seconds of its first frame inside it) of each episode.

        Raises UserError when the camera's frames are images inside the data files.
        """
        name = self._camera_feature(camera)
        if self.features[name]["dtype"] == "image":
            raise UserError(f"{self.root}: camera {camera!r} has images, not videos; load it with cached=True and a size")
        return [(self.root / record.videos[name][0], record.videos[name][1]) for record in self.episodes]

    def _camera_feature(self, camera: str) -> str:
        if camera not in self.camera_features:
            raise UserError(f"{self.root}: no camera {camera!r}; it has {_listing(self.cameras)}")
        return self.camera_features[camera]

    def _read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(values, recorded) of a column, read once."""
        if name not in self._columns:
            feature = self.features.get(name)
            if feature is None or feature["dtype"] in ("image", "video"):
                names = [n for n, f in self.features.items() if f["dtype"] not in ("image", "video")]
                raise UserError(f"{self.root}: no column {name!r}; it has {_listing(names)}")
            parts = [self._read_file(path, list(records), name) for path, records in self.data_files()]
            self._columns[name] = (
                np.concatenate([values for values, _ in parts]),
                np.concatenate([recorded for _, recorded in parts]),
            )
        return self._columns[name]

    def data_files(self) -> Iterator[tuple[str, Iterator[EpisodeRecord]]]:
        """Data files, relative to the root, with the episodes in each."""
        return groupby(self.episodes, key=lambda record: record.data_file)

    def read_file(self, file: str, records: list[EpisodeRecord], name: str) -> tuple[np.ndarray, np.ndarray]:
        """(values, recorded) of a column for the episodes of one file, NaN in the file included."""
        path = self.root / file
        array = read_table(path, [name])[name].combine_chunks()
        if len(array) != self._file_rows[file]:
            raise UserError(
                f"{path}: has {len(array)} rows but its episodes have {self._file_rows[file]}; restore the file or "
                "download it again"
            )
        rows = sum(record.length for record in records)
        if len(array) != rows:
            array = pa.concat_arrays([array.slice(record.data_row, record.length) for record in records])
        return _to_numpy(array, self.features[name], path, name)

    def _read_file(self, file: str, records: list[EpisodeRecord], name: str) -> tuple[np.ndarray, np.ndarray]:
        values, recorded = self.read_file(file, records, name)
        path, rows = self.root / file, len(values)
        if values.dtype.kind == "f":
            bad = np.flatnonzero(~np.isfinite(values).reshape(rows, -1).all(axis=1) & recorded)
            if len(bad):
                ends = np.cumsum([record.length for record in records])
                episode = records[int(np.searchsorted(ends, bad[0], side="right"))]
                raise UserError(
                    f"{path}: column {name!r} is NaN or infinite in row {bad[0] - episode.data_row} of episode "
                    f"{episode.index}; drop the episode or store nulls where nothing was recorded"
                )
        return values, recorded

    def _embedded_images(self, record: EpisodeRecord, name: str, convert: Convert | None) -> np.ndarray:
        """Frames stored as compressed images inside the data parquet (features of dtype "image")."""
        path = self.root / record.data_file
        cells = read_table(path, [name])[name].slice(record.data_row, record.length).to_pylist()
        try:
            images = (_decode_image(cell["bytes"]) for cell in cells)
            return np.stack([image if convert is None else convert(image) for image in images])
        except (av.FFmpegError, TypeError, KeyError, IndexError, ValueError) as error:
            raise UserError(
                f"{path}: images {name!r} of episode {record.index} are damaged ({error}); restore the file"
            ) from error


def _choose(episodes: list[EpisodeRecord], chosen: Sequence[int], root: Path) -> list[EpisodeRecord]:
    """The chosen episodes, their rows counted anew."""
    unknown = [number for number in chosen if not 0 <= number < len(episodes)]
    if unknown or not chosen:
        wanted = f"no episode {unknown[0]}" if unknown else "no episode chosen"
        raise UserError(f"{root}: {wanted}; it has episodes 0 to {len(episodes) - 1}")
    kept, start = [], 0
    for number in chosen:
        kept.append(replace(episodes[number], start=start))
        start += episodes[number].length
    return kept


def _is_camera(feature: dict[str, Any]) -> bool:
    """Colour cameras only: depth maps are videos too, but not of colours."""
    info = feature.get("info") or feature.get("video_info") or {}
    depth = info.get("is_depth_map", False) or info.get("video.is_depth_map", False)
    return feature["dtype"] in ("image", "video") and not depth


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def _to_numpy(array: pa.Array, feature: dict[str, Any], path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A parquet column as (values (rows, ...), recorded (rows,)), whatever kind of lists it is stored in."""
    recorded = np.asarray(array.is_valid())
    flat = array.drop_null()
    # "datasets", once imported, turns nested lists into an extension type of its own.
    while isinstance(flat, pa.ExtensionArray) or pa.types.is_nested(flat.type):
        flat = flat.storage if isinstance(flat, pa.ExtensionArray) else flat.flatten()
    text = feature["dtype"] == "string"
    shape = () if text or tuple(feature["shape"]) == (1,) else tuple(feature["shape"])
    expected = int(recorded.sum()) * int(np.prod(shape))
    if len(flat) != expected or flat.null_count:
        raise UserError(
            f"{path}: column {name!r} does not have shape {feature['shape']} in every row; correct meta/info.json or "
            "restore the file"
        )
    try:
        dtype = np.dtype(str) if text else np.dtype(feature["dtype"])
        found = np.array(flat.to_pylist(), dtype=dtype) if text else flat.to_numpy(zero_copy_only=False).astype(dtype)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{path}: column {name!r} cannot be read as {feature['dtype']} ({error}); correct meta/info.json"
        ) from error
    values = np.full((len(array), *shape), np.nan if dtype.kind == "f" else 0, dtype=found.dtype)
    if text:
        values[:] = ""
    values[recorded] = found.reshape(-1, *shape)
    return values, recorded


def _decode_image(data: bytes) -> np.ndarray:
    codec = av.CodecContext.create("png" if data.startswith(b"\x89PNG") else "mjpeg", "r")
    return codec.decode(av.Packet(data))[0].to_ndarray(format="rgb24")
