"""Episodes of one or several datasets as a new LeRobotDataset v3.0: what merging, splitting and filtering have in common.

Numbers are copied bit for bit. Videos are copied packet by packet where an episode can be cut out (`splice.py`), and
compressed again where it cannot, or where another encoding is asked for. Statistics of numbers are computed anew; those
of images are the old ones, added up.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from presage.episodes import layout
from presage.episodes.dataset import Dataset
from presage.episodes.disk import require_space
from presage.episodes.fit import scaled
from presage.episodes.metadata import EpisodeRecord, read_json, read_table
from presage.episodes.splice import Source, Splicer
from presage.episodes.statistics import VALID_SUFFIX, Statistics, column_statistics
from presage.episodes.stored import add_image_statistics, stored_image_statistics
from presage.episodes.video import Encoding, decode_frames, describe_video, encode_clip
from presage.episodes.writer import RollingTables, write_episode_records
from presage.errors import UserError


@dataclass(frozen=True)
class Recompress:
    """Every video compressed again."""

    encoding: Encoding
    short_side: int | None = None
    """Pixels of the shorter side; None: as they are."""


@dataclass
class Written:
    """What was done."""

    episodes: int = 0
    rows: int = 0
    videos_copied: int = 0
    """Episodes times cameras whose packets were copied."""
    videos_compressed: int = 0
    """Those that had to be compressed again."""
    bytes: int = 0


def write_episodes(parts: Sequence[Dataset], root: Path, recompress: Recompress | None = None) -> Written:
    """Write all episodes of `parts`, in order, as the dataset `root`.

    To leave episodes out, open a part with those to keep (`Dataset(root, chosen)`). The dataset is written under a hidden
    name and renamed when whole.

    Raises:
        UserError: parts do not fit together, a file is damaged, root exists, cannot be written or the disk is too full.
    """
    if root.exists():
        raise UserError(f"{root}: exists already; choose another folder or remove it")
    features = common_features(parts)
    require_space(root, estimate_bytes(parts), "the new dataset")
    hidden = root.with_name(f".{root.name}.writing")
    try:
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir(parents=True)
        written = _Edit(parts, features, hidden, recompress).write()
        written.bytes = sum(path.stat().st_size for path in hidden.rglob("*") if path.is_file())
        os.rename(hidden, root)
    except OSError as error:
        raise UserError(
            f"{root}: cannot be written ({error.strerror or error}); choose a writable folder with free space"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return written


def common_features(parts: Sequence[Dataset]) -> dict[str, dict[str, Any]]:
    """Features of all parts together; those that only some have are missing in the rows of the others.

    Raises:
        UserError: rates, cameras, or types and shapes of one feature differ.
    """
    first = parts[0]
    features: dict[str, dict[str, Any]] = {}
    for part in parts:
        if part.fps != first.fps:
            raise UserError(
                f"{part.root}: {part.fps:g} rows a second, {first.root} has {first.fps:g}; datasets of one rate can be "
                "joined, others can be trained on together (presage train --data A B)"
            )
        for name, feature in part.features.items():
            known = features.setdefault(name, feature)
            if (known["dtype"], list(known["shape"])) != (feature["dtype"], list(feature["shape"])):
                raise UserError(
                    f"{part.root}: {name!r} is {feature['dtype']} {list(feature['shape'])}, elsewhere {known['dtype']} "
                    f"{list(known['shape'])}; datasets of one robot can be joined"
                )
        lacking = [n for n, f in features.items() if f["dtype"] in ("video", "image") and n not in part.features]
        if lacking:
            raise UserError(f"{part.root}: no camera {lacking[0]!r}, which another dataset has; join those of one robot")
    missing = [n for n, f in features.items() if f["dtype"] in ("video", "image") and n not in first.features]
    if missing:
        raise UserError(f"{first.root}: no camera {missing[0]!r}, which another dataset has; join those of one robot")
    return features | layout.DEFAULT_FEATURES


def estimate_bytes(parts: Sequence[Dataset]) -> int:
    """About how large the parts are on disk: each file by the share of its rows that is kept."""
    total = 0.0
    for part in parts:
        files: dict[str, int] = {}
        for record in part.episodes:
            for path in (record.data_file, *(path for path, _ in record.videos.values())):
                files[path] = files.get(path, 0) + record.length
        for path, rows in files.items():
            if (part.root / path).exists():
                total += (part.root / path).stat().st_size * min(1.0, rows / max(1, part.rows_in(path)))
    return int(1.05 * total)


class _Edit:
    """State of one write."""

    def __init__(
        self, parts: Sequence[Dataset], features: dict[str, dict[str, Any]], root: Path, recompress: Recompress | None
    ):
        self.parts, self.features, self.root, self.recompress = parts, features, root, recompress
        self.fps = parts[0].fps
        self.written = Written()
        self.tasks: list[str] = []
        self.records: list[dict[str, Any]] = []
        self.figures: list[dict[str, Statistics]] = []
        self.videos = [name for name, feature in features.items() if feature["dtype"] == "video"]

    def write(self) -> Written:
        self._write_rows()
        for name in self.videos:
            self._write_videos(name)
        for record, figures in zip(self.records, self.figures, strict=True):
            record |= {f"stats/{n}/{f}": v.tolist() for n, stats in figures.items() for f, v in stats.items()}
        write_episode_records(self.root, self.records, str(self.parts[0].root))
        pq.write_table(layout.tasks_table(self.tasks), self.root / "meta/tasks.parquet")
        stats = {n: {f: v.tolist() for f, v in s.items()} for n, s in self._statistics().items()}
        (self.root / "meta/stats.json").write_text(json.dumps(stats, indent=1))
        (self.root / "meta/info.json").write_text(json.dumps(self._info(), indent=2))
        return self.written

    def _episodes(self) -> Iterator[tuple[Dataset, EpisodeRecord]]:
        for part in self.parts:
            for record in part.episodes:
                yield part, record

    def _write_rows(self) -> None:
        """data/: one row group per episode, and what meta/episodes says of it."""
        stored = [name for name in self.features if name not in self.videos]
        schema = pa.schema([(name, self._type(name)) for name in stored])
        files = RollingTables(self.root, layout.DATA_PATH, schema)
        start, opened, table = 0, "", pa.table({})
        images = [stored_image_statistics(part) for part in self.parts]
        total = sum(len(part.episodes) for part in self.parts)
        for part, record in tqdm(self._episodes(), total=total, desc="rows", unit="episode"):
            path = part.root / record.data_file
            if str(path) != opened:
                opened, table = str(path), read_table(path)
            rows = table.slice(record.data_row, record.length)
            if len(rows) != record.length:
                raise UserError(f"{path}: episode {record.index} has {len(rows)} of {record.length} rows; restore the file")
            texts = self._texts(part, record, rows)
            number = len(self.records)
            made = {
                "episode_index": np.full(record.length, number),
                "index": start + np.arange(record.length),
                "task_index": np.array([self.tasks.index(text) for text in texts]),
            }
            if "timestamp" not in table.column_names:
                made["timestamp"] = np.arange(record.length) / self.fps
            if "frame_index" not in table.column_names:
                made["frame_index"] = np.arange(record.length)
            columns = [
                pa.array(made[name]).cast(schema.field(name).type)
                if name in made
                else _cast(rows, name, schema.field(name).type, record.length, path, part)
                for name in stored
            ]
            chunk, file = files.append(pa.Table.from_arrays(columns, schema=schema))
            self.records.append(
                {
                    "episode_index": number,
                    "tasks": list(dict.fromkeys(texts)),
                    "length": record.length,
                    "data/chunk_index": chunk,
                    "data/file_index": file,
                    "dataset_from_index": start,
                    "dataset_to_index": start + record.length,
                    **{layout.INFO_PREFIX + name: value for name, value in record.info.items()},
                }
            )
            self.figures.append(self._episode_statistics(part, record) | images[self.parts.index(part)](record))
            start += record.length
        files.close()
        self.written.episodes, self.written.rows = len(self.records), start

    def _type(self, name: str) -> pa.DataType:
        """Parquet type of a feature; types that presage does not know, and images, stay what they are in the file."""
        try:
            if self.features[name]["dtype"] != "image":
                return layout.arrow_type(self.features[name])
        except TypeError:
            pass
        part = next(part for part in self.parts if name in part.features)
        path = part.root / part.episodes[0].data_file
        kind = read_table(path, [name]).schema.field(name).type
        return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind

    def _texts(self, part: Dataset, record: EpisodeRecord, rows: pa.Table) -> list[str]:
        """The instruction of each row; new ones are added to the tasks."""
        texts = [record.instruction] * record.length
        if "task_index" in rows.column_names:
            numbers = rows["task_index"].to_pylist()
            if all(number is not None and 0 <= number < len(part.tasks) for number in numbers):
                texts = [part.tasks[number] for number in numbers]
        self.tasks += [text for text in dict.fromkeys(texts) if text not in self.tasks]
        return texts

    def _write_videos(self, name: str) -> None:
        """videos/: the episodes of a camera, one behind the other; a file ends when full or when a span does not fit."""
        chunk, file = 0, 0
        splicer: Splicer | None = None
        opened: Source | None = None
        clip = self.root / f".{name}.mp4"
        episodes = list(self._episodes())
        for number, (part, record) in enumerate(tqdm(episodes, desc=name, unit="episode")):
            path, start = record.videos[name]
            source, span = opened, None
            if self.recompress is None:
                if opened is None or opened.path != part.root / path:
                    opened = Source(part.root / path, self.fps)
                source, span = opened, opened.span(start, record.length)
            if span is None:
                self._compress(part.root / path, start, record.length, clip)
                source = Source(clip, self.fps)
                span = source.span(0.0, record.length)
                self.written.videos_compressed += 1
            else:
                self.written.videos_copied += 1
            assert source is not None and span is not None  # a clip of its own always has one
            full = splicer is not None and splicer.bytes > layout.VIDEO_FILE_MB * layout.MEGABYTE
            if splicer is not None and (full or not splicer.fits(source, span)):
                splicer.close()
                splicer = None
                chunk, file = layout.next_file(chunk, file)
            if splicer is None:
                target = self.root / layout.VIDEO_PATH.format(video_key=name, chunk_index=chunk, file_index=file)
                target.parent.mkdir(parents=True, exist_ok=True)
                splicer = Splicer(target, self.fps, source, span)
            begin, end = splicer.append(source, span)
            self.records[number] |= {
                f"videos/{name}/chunk_index": chunk,
                f"videos/{name}/file_index": file,
                f"videos/{name}/from_timestamp": begin,
                f"videos/{name}/to_timestamp": end,
            }
        if splicer is not None:
            splicer.close()
        clip.unlink(missing_ok=True)

    def _compress(self, path: Path, start: float, length: int, clip: Path) -> None:
        frames = decode_frames(path, start, length, self.fps)
        if self.recompress is None:
            encode_clip(clip, frames, self.fps)
            return
        short_side = self.recompress.short_side
        encode_clip(clip, (scaled(image, short_side) for image in frames), self.fps, self.recompress.encoding)

    def _columns(self) -> list[str]:
        """Features with statistics of their own."""
        return [
            name
            for name, feature in self.features.items()
            if feature["dtype"] not in ("video", "image", "string") and _is_number(feature["dtype"])
        ]

    def _episode_statistics(self, part: Dataset, record: EpisodeRecord) -> dict[str, Statistics]:
        figures = {}
        for name in self._columns():
            values = _counted(part, name, record.rows)
            if values is not None and len(values):
                figures[name] = column_statistics(values)
        return figures

    def _statistics(self) -> dict[str, Statistics]:
        """Of the whole dataset: numbers over all rows, images added up from their episodes."""
        figures: dict[str, Statistics] = {}
        for name in self._columns():
            parts = [values for part in self.parts if (values := _counted(part, name, slice(None))) is not None]
            if sum(map(len, parts)):
                figures[name] = column_statistics(np.concatenate(parts))
        return figures | add_image_statistics(self.figures, [n for n in self.features if n not in figures])

    def _info(self) -> dict[str, Any]:
        info = read_json(self.parts[0].root / "meta/info.json")
        robots = {part.robot_type for part in self.parts}
        features = {name: dict(feature) for name, feature in self.features.items()}
        if self.written.videos_compressed:
            for name in self.videos:
                features[name] = self._describe_video(name, features[name])
        return {
            **{k: v for k, v in info.items() if k not in ("total_chunks", "total_videos")},
            "codebase_version": layout.CODEBASE_VERSION,
            "robot_type": robots.pop() if len(robots) == 1 else None,
            "total_episodes": self.written.episodes,
            "total_frames": self.written.rows,
            "total_tasks": len(self.tasks),
            "chunks_size": layout.CHUNKS_SIZE,
            "data_files_size_in_mb": layout.DATA_FILE_MB,
            "video_files_size_in_mb": layout.VIDEO_FILE_MB,
            "splits": {"train": f"0:{self.written.episodes}"},
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH if self.videos else None,
            "features": features,
        }

    def _describe_video(self, name: str, feature: dict[str, Any]) -> dict[str, Any]:
        """The entry of a camera whose videos were compressed again, read off the first file."""
        path = self.root / layout.VIDEO_PATH.format(video_key=name, chunk_index=0, file_index=0)
        codec, width, height, _ = Source(path, self.fps).header
        described = describe_video(height, width, self.fps)
        if self.recompress is not None:
            options = self.recompress.encoding.options
            described |= {"video.pix_fmt": self.recompress.encoding.pix_fmt, "video.preset": options.get("preset")}
            described |= {"video.crf": int(options["crf"]), "video.codec": {"libdav1d": "av1"}.get(codec, codec)}
        return {**feature, "shape": [height, width, 3], "info": described}


def _is_number(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in "biuf"
    except TypeError:
        return False


def _counted(part: Dataset, name: str, rows: slice) -> np.ndarray | None:
    """The rows of a column that were recorded and hold; None where the part has no such column."""
    if name not in part.features:
        return None
    counted = part.recorded(name)[rows]
    if name + VALID_SUFFIX in part.features:
        counted = counted & part.column(name + VALID_SUFFIX)[rows].astype(bool)
    return part.column(name)[rows][counted]


def _cast(rows: pa.Table, name: str, kind: pa.DataType, length: int, path: Path, part: Dataset) -> pa.Array:
    """A stored column in the type of the new dataset; nulls where this part never had it."""
    if name not in part.features:
        return pa.nulls(length, kind)
    if name not in rows.column_names:
        raise UserError(f"{path}: column {name!r} is missing; restore the file or download the dataset again")
    column = rows[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], rows.schema.field(name).type)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: column {name!r} does not fit meta/info.json ({reason}); correct one of them") from error
