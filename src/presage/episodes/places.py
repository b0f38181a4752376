"""Find the rows of episodes where meta/episodes of v3.0 names the wrong file.

Converters have written a stale `data/file_index` behind a rollover. The footers of the data files tell, without reading
rows, whether files hold what meta/episodes says. Where one does not, the columns `episode_index` and `index` of it, and
of files that nobody names, are looked through.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from presage.episodes.files import footer, parquet_files, read_table
from presage.episodes.records import EpisodeRecord
from presage.errors import UserError


@dataclass(frozen=True)
class _File:
    name: str
    episode: np.ndarray
    """(rows,) number of the episode"""
    index: np.ndarray
    """(rows,) row in the dataset"""


def place_rows(
    root: Path, records: list[EpisodeRecord], wanted: Collection[int], notes: list[str]
) -> tuple[list[EpisodeRecord], dict[int, str]]:
    """The records of v3.0 with the file and row at which their rows are; and why some have none.

    wanted: numbers of the episodes that will be read; files without any of them are not looked at. Files that are
    missing or damaged are left to whoever reads them.
    """
    full = [record for record in records if record.length]
    by_file = {
        file: sorted(group, key=lambda record: record.data_row)
        for file, group in groupby(
            sorted(full, key=lambda record: record.data_file), key=lambda record: record.data_file
        )
    }
    asked = set(wanted)
    needed = {record.data_file for record in full if record.index in asked}
    wrong = [file for file in sorted(needed) if not _holds(root / file, by_file[file])]
    if not wrong:
        return records, {}
    named = set(by_file) - set(wrong)
    others = [path.relative_to(root).as_posix() for path in parquet_files(root / "data")]
    files = [file for name in dict.fromkeys([*wrong, *others]) if name not in named and (file := _read(root, name))]
    placed, missing = {record.index: record for record in records}, {}
    for record in (record for file in wrong for record in by_file[file]):
        found = _find(record, files)
        if found is None:
            missing[record.index] = f"{root / record.data_file}: {_what_is_there(record, files)}"
        else:
            placed[record.index] = found
    moved = [r for r in records if (r.data_file, r.data_row) != (placed[r.index].data_file, placed[r.index].data_row)]
    if moved:
        where = f"episode {moved[0].index} is in {placed[moved[0].index].data_file}"
        notes.append(
            f"{root / 'meta/episodes'}: rows of {len(moved)} episodes are not where it says ({where}); found by number"
        )
    return list(placed.values()), missing


def _holds(path: Path, records: list[EpisodeRecord]) -> bool:
    """Whether a data file can hold these episodes, one behind the other, as far as its footer tells."""
    if not path.exists():
        return True
    try:
        meta = footer(path)
    except UserError:
        return True
    ends = np.cumsum([record.length for record in records])
    if meta.num_rows != ends[-1]:
        return False
    numbers, begin = np.array([record.index for record in records]), 0
    for group in (meta.row_group(i) for i in range(meta.num_row_groups)):
        span = _span(group)
        first, last = np.searchsorted(ends, [begin, begin + group.num_rows - 1], side="right")
        inside = numbers[first : last + 1]
        if span is not None and group.num_rows and span != (inside.min(), inside.max()):
            return False
        begin += group.num_rows
    return True


def _span(group: pq.RowGroupMetaData) -> tuple[int, int] | None:
    """Least and greatest episode number in a row group, where the footer says it."""
    for i in range(group.num_columns):
        column = group.column(i)
        if column.path_in_schema == "episode_index":
            known = column.statistics
            return (known.min, known.max) if known is not None and known.has_min_max else None
    return None


def _read(root: Path, name: str) -> _File | None:
    try:
        table = read_table(root / name, ["episode_index", "index"])
        episode, index = (table[column].cast(pa.int64()).to_numpy() for column in ("episode_index", "index"))
    except (UserError, pa.ArrowException):
        return None
    return _File(name, episode, index)


def _find(record: EpisodeRecord, files: list[_File]) -> EpisodeRecord | None:
    """Where all rows of an episode lie together: in the file that is named, else in the only one that has them."""
    found = []
    for file in files:
        rows = np.flatnonzero(file.episode == record.index)
        if len(rows) == record.length and (np.diff(rows) == 1).all() and (np.diff(file.index[rows]) == 1).all():
            found.append(replace(record, data_file=file.name, data_row=int(rows[0])))
    named = [place for place in found if place.data_file == record.data_file]
    return named[0] if named else found[0] if len(found) == 1 else None


def _what_is_there(record: EpisodeRecord, files: list[_File]) -> str:
    there = sum(int((file.episode == record.index).sum()) for file in files)
    if there == record.length:
        return f"the rows of episode {record.index} do not lie together"
    return f"episode {record.index} has {there} of {record.length} rows"
