"""The texts of tasks: `meta/tasks.parquet` of v3.0, `meta/tasks.jsonl` of v2.x."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from presage.episodes.features import whole
from presage.episodes.files import read_jsonl, read_table, reading
from presage.errors import UserError

_MOST_TASKS = 10_000_000


def read_tasks(root: Path, version: str, notes: list[str]) -> list[str]:
    """`tasks[i]` is the text of task_index i, empty where there is none.

    Episodes bring their texts along, so nothing here stops reading: without a table of tasks that can be read the list
    is empty, and a line of `notes` says so.
    """
    path = root / ("meta/tasks.jsonl" if version.startswith("v2.") else "meta/tasks.parquet")
    try:
        rows = read_jsonl(path) if version.startswith("v2.") else _rows_v3(read_table(path), path, notes)
    except UserError as error:
        notes.append(f"{error}: the texts that the episodes bring along are taken")
        return []
    texts = {}
    for row in rows:
        index, text = whole(row.get("task_index")), row.get("task")
        if index is None or not 0 <= index < _MOST_TASKS or not isinstance(text, str):
            notes.append(f"{path}: a task is {row!r:.60}: the texts that the episodes bring along are taken")
            return []
        texts[index] = text
    return [texts.get(index, "") for index in range(max(texts, default=-1) + 1)]


def _rows_v3(table: pa.Table, path: Path, notes: list[str]) -> list[dict[str, Any]]:
    if "task_index" not in table.column_names:
        raise UserError(f"{path}: column 'task_index' is missing")
    name = _text_column(table)
    if name is None:
        raise UserError(f"{path}: no column of texts beside 'task_index'")
    if name not in _pandas_index(table):
        notes.append(
            f"{path}: the texts are the column {name!r}, not the pandas index, and LeRobot reads numbers for texts; "
            "presage dataset filter writes it right"
        )
    with reading(path):
        indices, texts = table["task_index"].to_pylist(), table[name].to_pylist()
    return [{"task_index": index, "task": text} for index, text in zip(indices, texts)]


def _text_column(table: pa.Table) -> str | None:
    """The pandas index, else the column `task`, else the only one of texts."""
    texts = [field.name for field in table.schema if _is_text(field.type)]
    known = [name for name in [*_pandas_index(table), "task", "__index_level_0__"] if name in texts]
    return known[0] if known else texts[0] if len(texts) == 1 else None


def _pandas_index(table: pa.Table) -> list[str]:
    try:
        index = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    except (ValueError, AttributeError):
        return []
    return [name for name in index if isinstance(name, str)] if isinstance(index, list) else []


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
