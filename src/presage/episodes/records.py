"""Where every episode of a dataset lies, as meta/ says it: `meta/episodes` of v3.0, `meta/episodes.jsonl` of v2.x."""

from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from presage.episodes.episode import InfoValue
from presage.episodes.features import number, whole
from presage.episodes.files import RESTORE, column_names, parquet_files, read_jsonl, read_rows
from presage.episodes.info import Info
from presage.episodes.layout import INFO_PREFIX
from presage.errors import UserError

_BEYOND = 2**31
"""Of numbers and rows of episodes."""


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


@dataclass
class Listing:
    """What meta/ says of the episodes."""

    episodes: list[EpisodeRecord] = field(default_factory=list)
    """By number; their `start` is not counted yet, and those without rows are among them."""
    unread: list[UserError] = field(default_factory=list)
    """Files that cannot be read; the episodes that they describe are not known."""


def list_episodes(root: Path, info: Info, tasks: list[str], notes: list[str]) -> Listing:
    """Every episode that can be read of; what was read otherwise than written is added to `notes`.

    Raises:
        UserError: no file describes any, or a field of one is missing or of the wrong kind.
    """
    found = Listing()
    if info.version.startswith("v2."):
        path = root / "meta/episodes.jsonl"
        rows = read_jsonl(path, found.unread)
        listed = [(row, _record_v2(row, info, tasks, f"{path}: line {i}")) for i, row in enumerate(rows, 1)]
    else:
        listed = _records_v3(root, info, tasks, found)
    if found.unread and not listed:
        raise found.unread[0]
    last = {record.index: (row, record) for row, record in listed}
    if len(last) < len(listed):
        notes.append(
            f"{root / 'meta'}: {len(listed) - len(last)} episodes are listed twice; the last line of each counts"
        )
    silent = sum(not record.instruction for _, record in last.values())
    if silent and any(tasks):
        notes.append(f"{root / 'meta'}: {silent} episodes name no task; they are read without an instruction")
    found.episodes = sorted(_count_rows(list(last.values())), key=lambda record: record.index)
    return found


_Listed = list[tuple[dict[str, Any], EpisodeRecord]]


def _records_v3(root: Path, info: Info, tasks: list[str], found: Listing) -> _Listed:
    places = [f"videos/{key}/{part}" for key in info.videos for part in ("chunk_index", "file_index", "from_timestamp")]
    wanted = ["episode_index", "length", "data/chunk_index", "data/file_index", *places]
    paths = parquet_files(root / "meta/episodes")
    if not paths:
        raise UserError(f"{root / 'meta/episodes'}: no parquet file here; restore it or download the dataset again")
    listed: _Listed = []
    for path in paths:
        try:
            names = column_names(path)
            # The statistics columns, by far the largest part, are left on disk.
            more = [n for n in names if n.startswith(INFO_PREFIX) or n in ("tasks", "dataset_from_index")]
            rows = read_rows(path, wanted + more)
        except UserError as error:
            found.unread.append(error)
            continue
        listed += [(row, _record_v3(row, info, tasks, f"{path}: row {i}")) for i, row in enumerate(rows)]
    return listed


def _count_rows(listed: _Listed) -> list[EpisodeRecord]:
    """Episodes of a file lie one behind the other, in the order of their first row in the dataset."""

    def order(pair: tuple[dict[str, Any], EpisodeRecord]) -> tuple[str, int, int]:
        row, record = pair
        return record.data_file, whole(row.get("dataset_from_index")) or 0, record.index

    counted = []
    for _, group in groupby(sorted(listed, key=order), key=lambda pair: pair[1].data_file):
        begin = 0
        for _, record in group:
            counted.append(replace(record, data_row=begin))
            begin += record.length
    return counted


def _record_v3(row: dict[str, Any], info: Info, tasks: list[str], where: str) -> EpisodeRecord:
    def place(prefix: str) -> dict[str, int]:
        return {name: _count(row, name, where, f"{prefix}/{name}") for name in ("chunk_index", "file_index")}

    videos = {}
    for key in info.videos:
        begin = number(row[f"videos/{key}/from_timestamp"])
        if begin is None or not -1e-3 < begin < _BEYOND:
            raise UserError(f"{where}: 'videos/{key}/from_timestamp' is no time; {RESTORE}")
        videos[key] = (_fill(info.video_path, video_key=key, **place(f"videos/{key}")), max(begin, 0.0))
    facts = {n.removeprefix(INFO_PREFIX): v for n, v in row.items() if n.startswith(INFO_PREFIX) and _is_fact(v)}
    return EpisodeRecord(
        index=_count(row, "episode_index", where),
        length=_count(row, "length", where),
        start=0,
        instruction=_instruction(row.get("tasks"), tasks),
        info=facts,
        data_file=_fill(info.data_path, **place("data")),
        data_row=0,
        videos=videos,
    )


def _record_v2(row: dict[str, Any], info: Info, tasks: list[str], where: str) -> EpisodeRecord:
    index = _count(row, "episode_index", where)
    place = {"episode_chunk": index // info.chunks_size, "episode_index": index}
    known = ("episode_index", "length", "tasks")
    return EpisodeRecord(
        index=index,
        length=_count(row, "length", where),
        start=0,
        instruction=_instruction(row.get("tasks"), tasks),
        info={n: v for n, v in row.items() if n not in known and _is_fact(v)},
        data_file=_fill(info.data_path, **place),
        data_row=0,
        videos={key: (_fill(info.video_path, video_key=key, **place), 0.0) for key in info.videos},
    )


def _fill(template: str, **place: Any) -> str:
    return PurePosixPath(template.format(**place)).as_posix()


def _is_fact(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _count(row: dict[str, Any], name: str, where: str, column: str | None = None) -> int:
    column = column or name
    if column not in row:
        raise UserError(f"{where}: field {column!r} is missing; {RESTORE}")
    found = whole(row[column])
    if found is None or not 0 <= found < _BEYOND:
        raise UserError(f"{where}: {column!r} is {row[column]!r:.60}, not a whole number in bounds; {RESTORE}")
    return found


def _instruction(said: Any, tasks: list[str]) -> str:
    """The first text of `tasks`, be it a list, a text alone, or numbers of tasks; the only task where nothing is
    said."""
    if said is None and len(tasks) == 1:
        return tasks[0]
    first = said[0] if isinstance(said, list) and said else said
    if isinstance(first, str):
        return first
    place = whole(first)
    return tasks[place] if place is not None and 0 <= place < len(tasks) else ""
