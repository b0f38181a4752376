"""JSON, JSON lines and parquet files of a dataset; what goes wrong becomes one line that names the file."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from presage.errors import UserError

RESTORE = "restore the file or download the dataset again"
LEAVE_OUT = "leave it out (--episodes, or presage dataset filter --episodes)"
"""An episode."""


def read_json(path: Path) -> Any:
    """Contents of a JSON file.

    Raises:
        UserError: it is missing or damaged.
    """
    with reading(path, "not found; give the root folder of a LeRobot dataset"):
        return _parse(path.read_text("utf-8-sig"))


def read_jsonl(path: Path, unread: list[UserError] | None = None) -> list[dict[str, Any]]:
    """The objects of a file with one on each line; empty lines do not count.

    unread: where given, lines that are no object are put there instead of being raised.

    Raises:
        UserError: it is missing or damaged, or a line holds something else.
    """
    with reading(path):
        # Not splitlines: texts may hold characters that it takes for the end of a line.
        lines = path.read_text("utf-8-sig").split("\n")
    rows = []
    for number, text in ((number, line) for number, line in enumerate(lines, 1) if line.strip()):
        try:
            rows.append(_parse_object(text, f"{path}: cannot be read in line {number}"))
        except UserError as error:
            if unread is None:
                raise
            unread.append(error)
    return rows


def _parse_object(text: str, where: str) -> dict[str, Any]:
    try:
        row = _parse(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} ({error}); {RESTORE}") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: {row!r:.60} is no JSON object; {RESTORE}")
    return row


def _parse(text: str) -> Any:
    """A JSON value. Halves of characters, which no file or terminal takes, become question marks."""
    value = json.loads(text)
    if re.search(r"\\u[dD][89a-fA-F]", text):
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def read_schema(path: Path) -> pa.Schema:
    """Columns and metadata of a parquet file."""
    with reading(path):
        return pq.read_schema(path)


def column_names(path: Path) -> list[str]:
    """Names of the columns of a parquet file."""
    with reading(path):
        return pq.read_schema(path).names


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The columns of a parquet file (all of them by default)."""
    missing = set(columns or []) - set(column_names(path))
    if missing:
        raise UserError(f"{path}: column {min(missing)!r} is missing; {RESTORE}")
    with reading(path):
        return pq.read_table(path, columns=columns, partitioning=None)


def read_rows(path: Path, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """The rows of a small parquet file."""
    table = read_table(path, columns)
    with reading(path):
        return table.to_pylist()


def read_cells(path: Path, column: str, first: int, count: int) -> Iterator[Any]:
    """`count` cells of a parquet column from row `first` on, a few in memory at a time."""
    with reading(path), pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16) as file:
        if column not in file.schema_arrow.names:
            raise UserError(f"{path}: column {column!r} is missing; {RESTORE}")
        groups, begin, skip, left = [], 0, first, count
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if begin + rows <= first:
                skip -= rows
            elif begin < first + count:
                groups.append(group)
            begin += rows
        for batch in file.iter_batches(16, row_groups=groups, columns=[column]):
            cells = batch.column(0).slice(skip, left)
            skip, left = max(0, skip - len(batch)), left - len(cells)
            yield from cells.to_pylist()
            if not left:
                return


def parquet_files(folder: Path) -> list[Path]:
    """All parquet files below a folder, without hidden ones (`._file-000.parquet`, `.cache/`)."""
    found = (path for path in folder.rglob("*.parquet") if path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def footer(path: Path) -> pq.FileMetaData:
    """What a parquet file says of itself: rows and, often, least and greatest value of each column."""
    with reading(path):
        return pq.read_metadata(path)


@contextmanager
def reading(
    path: Path, missing: str = "the file is missing; restore it or download the dataset again"
) -> Iterator[None]:
    """Turn what goes wrong with a file into one line that names it. Texts are decoded when they leave a table."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: {missing}") from error
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: cannot be read ({reason}); {RESTORE}") from error
