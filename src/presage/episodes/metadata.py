"""Read the meta folder of a LeRobotDataset, v3.0 or v2.x, into one description that no longer knows the version."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from presage.episodes.episode import InfoValue
from presage.episodes.layout import INFO_PREFIX
from presage.episodes.statistics import Statistics, combine_statistics
from presage.errors import UserError


@dataclass(frozen=True)
class EpisodeRecord:
    """One episode of a dataset and where its rows and videos lie.

    index: number of the episode. start: global row of its first row. instruction: its (first) task text.
    data_file: parquet file relative to the root. data_row: its first row inside that file.
    videos: video feature -> (mp4 file relative to the root, seconds of the first frame inside it).
    """

    index: int
    length: int
    start: int
    instruction: str
    info: dict[str, InfoValue]
    data_file: str
    data_row: int
    videos: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def rows(self) -> slice:
        """The episode's global rows."""
        return slice(self.start, self.start + self.length)


@dataclass(frozen=True)
class Metadata:
    """What meta/ says. ``info`` is info.json, ``tasks[i]`` the text of task_index i."""

    info: dict[str, Any]
    tasks: list[str]
    stats: dict[str, Statistics]
    episodes: list[EpisodeRecord]


def read_metadata(root: Path, tolerated: list[UserError] | None = None) -> Metadata:
    """Read meta/. Raises UserError naming the file that is missing, damaged or contradicts another.

    tolerated: where given, what the episodes can be read without (tasks, statistics, totals) is not raised but put there.
    """
    info_path = root / "meta/info.json"
    info = read_json(info_path)
    for name in ("codebase_version", "fps", "features", "data_path"):
        if name not in info:
            raise UserError(f"{info_path}: field {name!r} is missing; restore the file or download the dataset again")
    version = str(info["codebase_version"])
    if version.startswith("v3."):
        metadata = _read_v3(root, info, tolerated)
    elif version.startswith("v2."):
        metadata = _read_v2(root, info)
    else:
        raise UserError(f"{info_path}: codebase_version is {version!r}; v3.0, v2.1 and v2.0 can be read, convert it")
    with _tolerating(tolerated):
        rows = sum(episode.length for episode in metadata.episodes)
        if info.get("total_frames", rows) != rows:
            raise UserError(
                f"{info_path}: total_frames is {info['total_frames']} but the episodes have {rows} rows; "
                "the dataset is incomplete, download it again"
            )
    return metadata


@contextmanager
def _tolerating(tolerated: list[UserError] | None) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        if tolerated is None:
            raise
        tolerated.append(error)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; give the root folder of a LeRobot dataset") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); restore the file or download the dataset again") from error


def read_schema(path: Path) -> pa.Schema:
    """Columns and metadata of a parquet file."""
    with _reading(path):
        return pq.read_schema(path)


def column_names(path: Path) -> list[str]:
    """Names of the columns of a parquet file."""
    return read_schema(path).names


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The columns of a parquet file (all of them by default)."""
    missing = set(columns or []) - set(column_names(path))
    if missing:
        raise UserError(f"{path}: column {min(missing)!r} is missing; restore the file or download the dataset again")
    with _reading(path):
        return pq.read_table(path, columns=columns, partitioning=None)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: the file is missing; restore it or download the dataset again") from error
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read ({reason}); restore the file or download the dataset again") from error


def _read_v3(root: Path, info: dict[str, Any], tolerated: list[UserError] | None) -> Metadata:
    stats_path = root / "meta/stats.json"
    stats: dict[str, Statistics] = {}
    tasks: list[str] = []
    with _tolerating(tolerated):
        stats = _as_arrays(read_json(stats_path)) if stats_path.exists() else {}
    with _tolerating(tolerated):
        tasks = _read_tasks_v3(root / "meta/tasks.parquet")
    paths = sorted((root / "meta/episodes").rglob("*.parquet"))
    if not paths:
        raise UserError(f"{root / 'meta/episodes'}: no parquet file here; restore it or download the dataset again")
    rows = [row for path in paths for row in _read_episode_rows_v3(path, info)]
    rows.sort(key=lambda row: row["episode_index"])
    episodes, start, file_rows = [], 0, dict[str, int]()
    for row in rows:
        data_file = info["data_path"].format(chunk_index=row["data/chunk_index"], file_index=row["data/file_index"])
        videos = {
            key: (
                info["video_path"].format(
                    video_key=key,
                    chunk_index=row[f"videos/{key}/chunk_index"],
                    file_index=row[f"videos/{key}/file_index"],
                ),
                float(row[f"videos/{key}/from_timestamp"]),
            )
            for key in _video_keys(info)
        }
        facts = {
            name.removeprefix(INFO_PREFIX): value
            for name, value in row.items()
            if name.startswith(INFO_PREFIX) and value is not None
        }
        data_row = file_rows.get(data_file, 0)
        instruction = row["tasks"][0] if row["tasks"] else ""
        length = row["length"]
        episodes.append(EpisodeRecord(row["episode_index"], length, start, instruction, facts, data_file, data_row, videos))
        start += length
        file_rows[data_file] = data_row + length
    return Metadata(info, tasks, stats, episodes)


def _video_keys(info: dict[str, Any]) -> list[str]:
    return [name for name, feature in info["features"].items() if feature["dtype"] == "video"]


def _read_episode_rows_v3(path: Path, info: dict[str, Any]) -> list[dict[str, Any]]:
    places = [
        f"videos/{key}/{name}" for key in _video_keys(info) for name in ("chunk_index", "file_index", "from_timestamp")
    ]
    wanted = ["episode_index", "tasks", "length", "data/chunk_index", "data/file_index", *places]
    facts = [name for name in column_names(path) if name.startswith(INFO_PREFIX)]
    # The statistics columns, by far the largest part, are left on disk.
    return read_table(path, wanted + facts).to_pylist()


def _read_tasks_v3(path: Path) -> list[str]:
    """Task texts in order of task_index. The text must be the pandas index, or LeRobot reads numbers for texts."""
    table = read_table(path)
    if "task_index" not in table.column_names:
        raise UserError(f"{path}: column 'task_index' is missing; restore the file or download the dataset again")
    pandas = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    index = [name for name in pandas.get("index_columns", []) if isinstance(name, str)]
    if len(index) != 1 or index[0] not in table.column_names:
        raise UserError(
            f"{path}: the task text is not the pandas index; write it again with "
            "DataFrame({'task_index': ...}, index=texts).to_parquet"
        )
    texts = dict(zip(table["task_index"].to_pylist(), table[index[0]].to_pylist()))
    return [texts[i] for i in sorted(texts)]


def _read_v2(root: Path, info: dict[str, Any]) -> Metadata:
    tasks = {row["task_index"]: row["task"] for row in read_jsonl(root / "meta/tasks.jsonl")}
    path = root / "meta/episodes.jsonl"
    rows = read_jsonl(path)
    for row in rows:
        for name in ("episode_index", "length", "tasks"):
            if name not in row:
                raise UserError(f"{path}: field {name!r} is missing; restore the file or download the dataset again")
    episodes, start = [], 0
    for row in sorted(rows, key=lambda row: row["episode_index"]):
        number = row["episode_index"]
        place = {"episode_chunk": number // info.get("chunks_size", 1000), "episode_index": number}
        videos = {key: (info["video_path"].format(video_key=key, **place), 0.0) for key in _video_keys(info)}
        facts = {
            name: value
            for name, value in row.items()
            if name not in ("episode_index", "length", "tasks") and isinstance(value, str | int | float | bool)
        }
        instruction = row["tasks"][0] if row["tasks"] else ""
        data_file = info["data_path"].format(**place)
        episodes.append(EpisodeRecord(number, row["length"], start, instruction, facts, data_file, 0, videos))
        start += row["length"]
    return Metadata(info, [tasks[i] for i in sorted(tasks)], _read_stats_v2(root), episodes)


def _read_stats_v2(root: Path) -> dict[str, Statistics]:
    """v2.1 has statistics per episode, v2.0 per dataset."""
    if (root / "meta/stats.json").exists():
        return _as_arrays(read_json(root / "meta/stats.json"))
    path = root / "meta/episodes_stats.jsonl"
    if not path.exists():
        return {}
    parts = [_as_arrays(row["stats"]) for row in read_jsonl(path)]
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: combine_statistics([part[name] for part in parts if name in part]) for name in names}


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one on each line."""
    try:
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise UserError(f"{path}: the file is missing; restore it or download the dataset again") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); restore the file or download the dataset again") from error


def _as_arrays(stats: dict[str, dict[str, Any]]) -> dict[str, Statistics]:
    return {name: {figure: np.asarray(value) for figure, value in figures.items()} for name, figures in stats.items()}
