"""What tests of edited datasets change in datasets beforehand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


def read_info(root: Path) -> dict[str, Any]:
    return json.loads((root / "meta/info.json").read_text())


def change_info(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    info = read_info(root)
    change(info)
    (root / "meta/info.json").write_text(json.dumps(info))


def add_column(file: Path, name: str, column: pa.Array, metadata: dict[bytes, bytes] | None = None) -> None:
    """Put a column into a parquet file, and `metadata` beside that of its schema."""
    table = pq.read_table(file).append_column(pa.field(name, column.type, metadata={b"unit": b"own"}), column)
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **(metadata or {})}), file)
