"""Episodes of one or several datasets as a new LeRobotDataset v3.0: what merging, splitting and filtering have in
common.

Every column is copied bit for bit (`rows.py`). Videos are copied packet by packet where an episode can be cut out
(`splice.py`), and compressed again where it cannot, or where another encoding is asked for (`cutting.py`); depth never
with loss. Statistics of numbers are computed anew; those of images are the old ones, added up. Files of the folder that
are not part of the format come along (`belongings.py`).
"""

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from presage.episodes import layout
from presage.episodes.belongings import carry, orphans, shared_files, size_of
from presage.episodes.cutting import Cutter, Recompress
from presage.episodes.dataset import Dataset
from presage.episodes.disk import require_space
from presage.episodes.features import is_numeric
from presage.episodes.metadata import EpisodeRecord
from presage.episodes.outcome import with_outcomes
from presage.episodes.rows import RowReader, common_schema
from presage.episodes.statistics import VALID_SUFFIX, Statistics, column_statistics
from presage.episodes.stored import add_statistics, all_tasks, more_of_episodes, stored_statistics
from presage.episodes.together import common_features, common_info
from presage.episodes.writer import RollingTables, write_episode_records
from presage.errors import UserError


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
    notes: list[str] = field(default_factory=list)
    """Lines on what was taken for granted or left out."""
    left: list[tuple[Path, str]] = field(default_factory=list)
    """(dataset, what of it) is not in the new one."""


def write_episodes(
    parts: Sequence[Dataset], root: Path, recompress: Recompress | None = None, with_files: bool = True
) -> Written:
    """Write all episodes of `parts`, in order, as the dataset `root`.

    To leave episodes out, open a part with those to keep (`Dataset(root, chosen)`). The dataset is written under a
    hidden name and renamed when whole. with_files: whether files that are not part of the format come along, where all
    parts have them alike.

    Raises:
        UserError: parts do not fit together, a file is damaged, root exists, cannot be written or the disk is too full.
    """
    if os.path.lexists(root):
        raise UserError(f"{root}: exists already; choose another folder or remove it")
    hidden = root.with_name(f".{root.name}.writing")
    try:
        written = _write(parts, root, hidden, recompress, with_files)
        written.bytes = sum(path.stat().st_size for path in hidden.rglob("*") if path.is_file())
        os.rename(hidden, root)
    except OSError as error:
        raise UserError(
            f"{root}: cannot be written ({error.strerror or error}); choose a writable folder with free space"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return written


def _write(
    parts: Sequence[Dataset], root: Path, hidden: Path, recompress: Recompress | None, with_files: bool
) -> Written:
    skip = (root, hidden)
    files = shared_files(parts, skip)[0] if with_files else []
    require_space(root, estimate_bytes(parts) + size_of(parts[0].root, files), "the new dataset")
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir(parents=True)
    edit = _Edit(parts, hidden, recompress)
    written = edit.write()
    if with_files:
        files, written.left[:0] = shared_files(parts, skip, edit.reader.pictures)
        carry(parts[0].root, files, hidden)
    written.left += [(part.root, path.as_posix()) for part in _by_root(parts) for path in orphans(part)]
    return written


def _by_root(parts: Sequence[Dataset]) -> list[Dataset]:
    return list({part.root: part for part in parts}.values())


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

    def __init__(self, parts: Sequence[Dataset], root: Path, recompress: Recompress | None):
        self.parts, self.root, self.recompress = parts, root, recompress
        self.fps = parts[0].fps
        self.written = Written(notes=[note for part in _by_root(parts) for note in part.notes])
        self.features = common_features(parts, self.written.notes)
        self.schema = common_schema(parts, self.features)
        self.reader = RowReader(self.schema)
        self.episodes = with_outcomes(parts)
        self.videos = [name for name, feature in self.features.items() if feature["dtype"] == "video"]
        self.computed = [name for name, feature in self.features.items() if is_numeric(feature)]
        self.counted = [{name: _read_counted(part, name) for name in self.computed} for part in parts]
        self.tasks: list[str] = []
        self.records: list[dict[str, Any]] = []
        self.figures: list[dict[str, Statistics]] = []
        self.types: dict[str, pa.DataType] = {}

    def write(self) -> Written:
        self._write_rows()
        self._add_what_is_known()
        cameras = [self._write_videos(name) for name in self.videos]
        self._check_recompressed(cameras)
        for record, figures in zip(self.records, self.figures, strict=True):
            record |= {f"stats/{n}/{f}": v.tolist() for n, stats in figures.items() for f, v in stats.items()}
        write_episode_records(self.root, self.records, str(self.parts[0].root), self.types)
        pq.write_table(layout.tasks_table(self.tasks), self.root / "meta/tasks.parquet")
        stats = {n: {f: v.tolist() for f, v in s.items()} for n, s in self._statistics().items()}
        (self.root / "meta/stats.json").write_text(json.dumps(stats, indent=1))
        features = self.features | {cutter.name: cutter.describe() for cutter in cameras}
        (self.root / "meta/info.json").write_text(json.dumps(self._info(features), indent=2))
        return self.written

    def _write_rows(self) -> None:
        """data/: one row group per episode, and what meta/episodes says of it."""
        files = RollingTables(self.root, layout.DATA_PATH, self.schema)
        listed = {part.root: all_tasks(part) for part in self.parts}
        start = 0
        for part, record in tqdm(self.episodes, desc="rows", unit="episode"):
            rows = self.reader.read(part, record)
            number, texts = len(self.records), _texts(part, record, rows)
            tasks = list(dict.fromkeys([*(listed[part.root].get(record.index) or []), *texts]))
            self.tasks += [text for text in tasks if text not in self.tasks]
            made = {
                "episode_index": np.full(record.length, number),
                "index": start + np.arange(record.length),
                "task_index": np.array([self.tasks.index(text) for text in texts]),
            }
            if "timestamp" not in rows.column_names:
                made["timestamp"] = np.arange(record.length) / self.fps
            if "frame_index" not in rows.column_names:
                made["frame_index"] = np.arange(record.length)
            chunk, file = files.append(self.reader.arrange(part, record, rows, made))
            self.records.append(
                {
                    "episode_index": number,
                    "tasks": tasks,
                    "length": record.length,
                    "data/chunk_index": chunk,
                    "data/file_index": file,
                    "dataset_from_index": start,
                    "dataset_to_index": start + record.length,
                    **{layout.INFO_PREFIX + name: value for name, value in record.info.items()},
                }
            )
            start += record.length
        files.close()
        self.written.episodes, self.written.rows = len(self.records), start

    def _add_what_is_known(self) -> None:
        """Statistics of each episode, and columns of meta/episodes that are nobody's."""
        known = {part.root: stored_statistics(part, self.computed) for part in self.parts}
        more = {part.root: more_of_episodes(part) for part in self.parts}
        places = {id(part): place for place, part in enumerate(self.parts)}
        for (part, record), row in zip(self.episodes, self.records, strict=True):
            counted = self.counted[places[id(part)]]
            figures = {name: values[record.rows][mask[record.rows]] for name, (values, mask) in counted.items()}
            computed = {name: column_statistics(values) for name, values in figures.items() if len(values)}
            self.figures.append(computed | known[part.root](record))
            row |= more[part.root][0].get(record.index, {})
        for _, types in more.values():
            self.types = types | self.types

    def _write_videos(self, name: str) -> Cutter:
        cutter = Cutter(self.root, name, self.features[name], self.fps, self.recompress)
        for record, places in zip(self.records, cutter.write(self.episodes), strict=True):
            record |= places
        done = cutter.done
        self.written.videos_copied += done.copied
        self.written.videos_compressed += done.colours + done.lossless
        self.written.left += [(root, f"the sound of {file.relative_to(root)}") for root, file in done.silenced.items()]
        if done.spared:
            self.written.notes.append(f"{name!r} is depth or has other than 8-bit colours; its videos are as they were")
        return cutter

    def _check_recompressed(self, cameras: Sequence[Cutter]) -> None:
        if self.recompress is None:
            return
        images = [name for name, feature in self.features.items() if feature["dtype"] == "image"]
        if not any(camera.done.colours for camera in cameras):
            raise UserError(f"{self.parts[0].root}: no video of 8-bit colours to compress again; nothing was written")
        if images:
            self.written.notes.append(f"{images[0]!r} has pictures inside the data files; they are as they were")

    def _statistics(self) -> dict[str, Statistics]:
        """Of the whole dataset: numbers over all rows, others added up from their episodes."""
        figures: dict[str, Statistics] = {}
        for name in self.computed:
            values = [values[mask] for counted in self.counted for values, mask in [counted[name]] if mask.any()]
            if values:
                figures[name] = column_statistics(np.concatenate(values))
        others = [{n: s for n, s in episode.items() if n not in self.computed} for episode in self.figures]
        return figures | add_statistics(others, self.written.notes)

    def _info(self, features: dict[str, dict[str, Any]]) -> dict[str, Any]:
        info = common_info(self.parts, self.written.notes)
        robots = [part.robot_type for part in self.parts if part.robot_type]
        return {
            **{k: v for k, v in info.items() if k not in ("total_chunks", "total_videos")},
            "codebase_version": layout.CODEBASE_VERSION,
            "robot_type": robots[0] if robots else None,
            "total_episodes": self.written.episodes,
            "total_frames": self.written.rows,
            "total_tasks": len(self.tasks),
            "chunks_size": layout.CHUNKS_SIZE,
            "data_files_size_in_mb": layout.DATA_FILE_MB,
            "video_files_size_in_mb": layout.VIDEO_FILE_MB,
            "splits": self._splits(info.get("splits")),
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH if self.videos else None,
            "features": features,
        }

    def _splits(self, known: Any) -> dict[str, str]:
        """Spans of episodes under new numbers; only those of a single dataset go on to hold."""
        everything = {"train": f"0:{self.written.episodes}"}
        if not isinstance(known, dict) or len(_by_root(self.parts)) > 1:
            if isinstance(known, dict) and list(known) != ["train"]:
                self.written.notes.append(f"{self.parts[0].root}: its splits {known} were left out")
            return everything
        spans = {}
        for name, text in known.items():
            match = re.fullmatch(r"(\d+):(\d+)", str(text))
            first, behind = (int(match[1]), int(match[2])) if match else (0, 0)
            inside = [i for i, (_, record) in enumerate(self.episodes) if first <= record.index < behind]
            if inside and inside[-1] - inside[0] == len(inside) - 1:
                spans[name] = f"{inside[0]}:{inside[-1] + 1}"
        return spans or everything


def _texts(part: Dataset, record: EpisodeRecord, rows: pa.Table) -> list[str]:
    """The instruction of each row."""
    if "task_index" in rows.column_names:
        numbers = rows["task_index"].to_pylist()
        if all(number is not None and 0 <= number < len(part.tasks) for number in numbers):
            return [part.tasks[number] for number in numbers]
    return [record.instruction] * record.length


def _read_counted(part: Dataset, name: str) -> tuple[np.ndarray, np.ndarray]:
    """All rows of a column and which of them count: those that were recorded, hold and are finite; none where the part
    has no such column."""
    if name not in part.features:
        return np.zeros(part.num_rows), np.zeros(part.num_rows, bool)
    files = [part.read_file(file, list(group), name) for file, group in part.data_files()]
    values, counted = (np.concatenate([file[i] for file in files]) for i in (0, 1))
    counted = counted & np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if name + VALID_SUFFIX in part.features:
        valid, known = _read_counted(part, name + VALID_SUFFIX)
        counted = counted & known & valid.astype(bool)
    return values, counted
