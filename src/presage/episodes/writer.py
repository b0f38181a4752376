"""Write a LeRobotDataset v3.0 from spooled episodes, without decoding or re-encoding a single frame."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from presage.episodes import layout
from presage.episodes import spool as spooled
from presage.episodes.statistics import VALID_SUFFIX, Statistics, column_statistics, image_statistics
from presage.episodes.video import ClipJoiner, describe_video
from presage.errors import UserError

EPISODES_PER_GROUP = 1000


class RollingTables:
    """Parquet files of one schema that start anew when the next table would make one too large."""

    def __init__(self, root: Path, template: str, schema: pa.Schema):
        self._root, self._template, self._schema = root, template, schema
        self._writer: pq.ParquetWriter | None = None
        self._chunk, self._file, self._bytes = 0, 0, 0

    def place(self, table: pa.Table) -> tuple[int, int]:
        """The (chunk, file) that the table will be written to when it is appended next."""
        full = self._writer is not None and self._bytes + table.nbytes > layout.DATA_FILE_MB * layout.MEGABYTE
        return layout.next_file(self._chunk, self._file) if full else (self._chunk, self._file)

    def append(self, table: pa.Table) -> tuple[int, int]:
        """Write the table as one row group; return its (chunk, file)."""
        place = self.place(table)
        if place != (self._chunk, self._file):
            self.close()
            self._chunk, self._file = place
        if self._writer is None:
            path = self._root / self._template.format(chunk_index=self._chunk, file_index=self._file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, self._schema, compression="snappy")
        self._writer.write_table(table, row_group_size=len(table))
        self._bytes += table.nbytes
        return place

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._bytes = None, 0


def write_dataset(
    spool: Path, root: Path, *, fps: float, robot_type: str | None, names: Mapping[str, Any] | None = None
) -> Path:
    """Turn a spool into the dataset ``root`` (LeRobotDataset v3.0) and delete the spool.

    Episodes come in sorted order of their keys. The dataset is written under a hidden name and renamed when whole.
    Features that some episodes lack are stored as nulls there. Episodes that an earlier run left in the spool are
    written too, and a line on stderr names them. names: of the numbers of a feature, as in info.json. Returns root.
    Raises UserError when the spool is empty, its episodes do not fit together, or root exists or cannot be written.
    """
    keys = sorted(spooled.spooled_keys(spool))
    if not keys:
        raise UserError(f"{spool}: no finished episodes to write; collect some first")
    if os.path.lexists(root):
        raise UserError(f"{root}: exists already; choose another folder or remove it")
    earlier = spooled.from_earlier_runs(spool)
    if earlier:
        print(
            f"{spool}: {len(earlier)} of {len(keys)} episodes are of an earlier run ({earlier[0]} to {earlier[-1]})",
            file=sys.stderr,
        )
    facts = {key: spooled.read_facts(spool, key) for key in keys}
    hidden = root.with_name(f".{root.name}.writing")
    try:
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir(parents=True)
        _Writer(spool, hidden, facts, fps, robot_type, names or {}).write()
        os.rename(hidden, root)
        shutil.rmtree(spool)
    except OSError as error:
        raise UserError(
            f"{root}: cannot be written ({error.strerror or error}); choose a writable folder with free space"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return root


class _Writer:
    """State of one write: the tables that grow episode by episode."""

    def __init__(
        self,
        spool: Path,
        root: Path,
        facts: dict[str, dict[str, Any]],
        fps: float,
        robot_type: str | None,
        names: Mapping[str, Any],
    ):
        self.names = names
        self.spool, self.root, self.facts, self.fps, self.robot_type = spool, root, facts, fps, robot_type
        self.rows = {key: spooled.read_rows(spool, key) for key in facts}
        self.tasks = list(dict.fromkeys(fact["instruction"] for fact in facts.values()))
        self.cameras = self._common_cameras()
        self.features = self._common_features()
        self.records: list[dict[str, Any]] = [{} for _ in facts]

    def write(self) -> None:
        self._add_default_columns()
        self._write_rows()
        for camera in self.cameras:
            self._join_videos(camera)
        self._write_episodes()
        pq.write_table(layout.tasks_table(self.tasks), self.root / "meta/tasks.parquet")
        (self.root / "meta/stats.json").write_text(json.dumps(self._statistics(list(self.facts)), indent=1))
        (self.root / "meta/info.json").write_text(json.dumps(self._info(), indent=2))

    def _common_cameras(self) -> dict[str, dict[str, Any]]:
        """Cameras of every episode; one that is missing or of another size somewhere is an error."""
        first_key, first = next(iter(self.facts.items()))
        size = {name: (camera["height"], camera["width"]) for name, camera in first["cameras"].items()}
        for key, fact in self.facts.items():
            if fact["fps"] != self.fps:
                raise UserError(
                    f"{self.spool / key}: recorded at {fact['fps']} frames per second, the dataset has {self.fps}; "
                    "write them apart"
                )
            other = {name: (camera["height"], camera["width"]) for name, camera in fact["cameras"].items()}
            if other != size:
                raise UserError(
                    f"{self.spool / key}: cameras {other} differ from {size} of {first_key!r}; write them apart"
                )
        return first["cameras"]

    def _common_features(self) -> dict[str, dict[str, Any]]:
        """Features of all episodes together; one that differs between episodes is an error."""
        features: dict[str, dict[str, Any]] = {}
        for key, columns in self.rows.items():
            for name, column in columns.items():
                feature = layout.column_feature(column) | {"names": self.names.get(name)}
                if features.setdefault(name, feature) != feature:
                    raise UserError(
                        f"{self.spool / key}: column {name!r} is {feature['dtype']} {feature['shape']}, "
                        f"in other episodes {features[name]['dtype']} {features[name]['shape']}; write them apart"
                    )
        return features | layout.DEFAULT_FEATURES

    def _add_default_columns(self) -> None:
        start = 0
        for number, (key, fact) in enumerate(self.facts.items()):
            frame_index = np.arange(fact["length"])
            self.rows[key] |= {
                "timestamp": (frame_index / self.fps).astype(np.float32),
                "frame_index": frame_index,
                "episode_index": np.full(fact["length"], number),
                "index": start + frame_index,
                "task_index": np.full(fact["length"], self.tasks.index(fact["instruction"])),
            }
            start += fact["length"]

    def _write_rows(self) -> None:
        """data/: one row group per episode, so that readers can fetch one episode alone."""
        schema = pa.schema([(name, layout.arrow_type(feature)) for name, feature in self.features.items()])
        files = RollingTables(self.root, layout.DATA_PATH, schema)
        start = 0
        for number, (key, fact) in enumerate(self.facts.items()):
            columns, length = self.rows[key], fact["length"]
            arrays = [
                layout.arrow_column(columns.get(name), feature, length) for name, feature in self.features.items()
            ]
            chunk, file = files.append(pa.Table.from_arrays(arrays, schema=schema))
            self.records[number] |= {
                "episode_index": number,
                "tasks": [fact["instruction"]],
                "length": length,
                "data/chunk_index": chunk,
                "data/file_index": file,
                "dataset_from_index": start,
                "dataset_to_index": start + length,
            }
            start += length
        files.close()

    def _join_videos(self, camera: str) -> None:
        """videos/: the camera's clips in episode order; a file is closed when full or when the codec header changes."""
        video_key = layout.CAMERA_PREFIX + camera
        joiner: ClipJoiner | None = None
        chunk, file = 0, 0
        for number, key in enumerate(self.facts):
            clip = self.spool / key / f"{camera}.mp4"
            full = joiner is not None and joiner.bytes + clip.stat().st_size > layout.VIDEO_FILE_MB * layout.MEGABYTE
            if joiner is not None and (full or not joiner.fits(clip)):
                joiner.close()
                joiner = None
                chunk, file = layout.next_file(chunk, file)
            if joiner is None:
                path = self.root / layout.VIDEO_PATH.format(video_key=video_key, chunk_index=chunk, file_index=file)
                path.parent.mkdir(parents=True, exist_ok=True)
                joiner = ClipJoiner(path, self.fps)
            start, end = joiner.append(clip)
            self.records[number] |= {
                f"videos/{video_key}/chunk_index": chunk,
                f"videos/{video_key}/file_index": file,
                f"videos/{video_key}/from_timestamp": start,
                f"videos/{video_key}/to_timestamp": end,
            }
        if joiner is not None:
            joiner.close()

    def _write_episodes(self) -> None:
        """meta/episodes/: where each episode lies, its facts (``info/<name>``) and its statistics."""
        for record, (key, fact) in zip(self.records, self.facts.items(), strict=True):
            figures = self._statistics([key])
            record |= {f"stats/{name}/{figure}": v for name, stats in figures.items() for figure, v in stats.items()}
            record |= {layout.INFO_PREFIX + name: value for name, value in fact["info"].items()}
        write_episode_records(self.root, self.records, str(self.spool))

    def _statistics(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Statistics of all features over the given episodes, as nested lists."""
        figures: dict[str, Statistics] = {}
        for name, feature in self.features.items():
            if feature["dtype"] == "string":
                continue
            counted = [
                column[columns[name + VALID_SUFFIX].astype(bool)] if name + VALID_SUFFIX in columns else column
                for columns in (self.rows[key] for key in keys)
                if (column := columns.get(name)) is not None
            ]
            if sum(map(len, counted)) > 0:
                figures[name] = column_statistics(np.concatenate(counted))
        frames = sum(self.facts[key]["length"] for key in keys)
        for camera in self.cameras:
            histogram = sum(np.array(self.facts[key]["cameras"][camera]["histogram"]) for key in keys)
            figures[layout.CAMERA_PREFIX + camera] = image_statistics(np.asarray(histogram), frames)
        return {
            name: {figure: value.tolist() for figure, value in statistics.items()}
            for name, statistics in figures.items()
        }

    def _info(self) -> dict[str, Any]:
        videos = {
            layout.CAMERA_PREFIX + name: {
                "dtype": "video",
                "shape": [camera["height"], camera["width"], 3],
                "names": ["height", "width", "channels"],
                "info": describe_video(camera["height"], camera["width"], self.fps),
            }
            for name, camera in self.cameras.items()
        }
        return {
            "codebase_version": layout.CODEBASE_VERSION,
            "robot_type": self.robot_type,
            "total_episodes": len(self.facts),
            "total_frames": sum(fact["length"] for fact in self.facts.values()),
            "total_tasks": len(self.tasks),
            "chunks_size": layout.CHUNKS_SIZE,
            "data_files_size_in_mb": layout.DATA_FILE_MB,
            "video_files_size_in_mb": layout.VIDEO_FILE_MB,
            "fps": int(self.fps) if float(self.fps).is_integer() else self.fps,
            "splits": {"train": f"0:{len(self.facts)}"},
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH if self.cameras else None,
            "features": videos | self.features,
        }


def write_episode_records(
    root: Path, records: Sequence[dict[str, Any]], where: str, types: dict[str, pa.DataType] | None = None
) -> None:
    """meta/episodes/ of a dataset: one row per episode. `where` names the origin in errors. types: of columns whose
    type is known; that of others follows from the values."""
    names, known = list(dict.fromkeys(name for record in records for name in record)), types or {}
    columns = {name: [record.get(name) for record in records] for name in names}
    table = pa.table({name: _meta_column(name, values, where, known.get(name)) for name, values in columns.items()})
    for field in ("meta/episodes/chunk_index", "meta/episodes/file_index"):
        table = table.append_column(field, pa.array([0] * len(table), pa.int64()))
    files = RollingTables(root, layout.EPISODES_PATH, table.schema)
    for start in range(0, len(table), EPISODES_PER_GROUP):
        part = table.slice(start, EPISODES_PER_GROUP)
        for field, value in zip(("chunk_index", "file_index"), files.place(part), strict=True):
            column = part.schema.get_field_index(f"meta/episodes/{field}")
            part = part.set_column(column, part.schema.field(column), pa.array([value] * len(part), pa.int64()))
        files.append(part)
    files.close()


def _meta_column(name: str, values: Sequence[Any], where: str, known: pa.DataType | None = None) -> pa.Array:
    """One column of meta/episodes; whole numbers and fractions mix, other types do not."""
    if known is not None:
        return pa.array(values, known)
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.array([None if value is None else float(value) for value in values])
    if len(kinds) > 1:
        kind_names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise UserError(f"{where}: {name!r} is {kind_names} in different episodes; record it with one type")
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError) as error:
        raise UserError(f"{where}: {name!r} cannot be stored ({error}); record it with one type") from error
