"""Whatever stands in a field of meta/, inspect reads the dataset or refuses it in one line."""

import contextlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.episodes.samples import FPS, make_episode

from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset
from presage.interface.cli import main

VALUES: tuple[Any, ...] = (
    *(
        None,
        -1,
        0,
        1,
        10**30,
        0.5,
        1e300,
        float("nan"),
        float("inf"),
        True,
        False,
        "",
        "text",
        "30",
        "a\nb",
        "\ud800",
        "a\0",
        "{x}",
        "../a",
    ),
    *([], [1], [None], ["a"], [[1, 2], [3]], {}, {"a": None}, {"dtype": "float32"}),
)
DELETED = "deleted"
CHECK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@pytest.fixture(scope="module")
def new() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2):
            spool_episode(Path(folder) / "spool", str(number), make_episode(number, 4), FPS)
        yield write_dataset(Path(folder) / "spool", Path(folder) / "new", fps=FPS, robot_type="arm")


def inspected(root: Path) -> None:
    """Inspect, and check how it ends."""
    error = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
        code = main(["inspect", str(root), "--out", str(root / "page.html")])
    said = [line for line in error.getvalue().splitlines() if "error" in line]
    assert code in (0, 2) and len(said) == (1 if code else 0), (code, said)


def places(value: Any) -> list[tuple[Any, ...]]:
    """Where something can be replaced inside a JSON value."""
    inside = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [(key, *rest) for key, child in inside for rest in [(), *places(child)]]


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value, or none, at a place."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    if new is DELETED:
        del inner[place[-1]]
    else:
        inner[place[-1]] = new
    return copy


@pytest.mark.parametrize("file", ["info.json", "stats.json", "tasks.jsonl", "episodes.jsonl", "episodes_stats.jsonl"])
def test_any_value_in_a_json_file(new: Path, old_root: Path, tmp_path: Path, file: str) -> None:
    whole = new if file.endswith(".json") else old_root
    text = (whole / "meta" / file).read_text()
    value = json.loads(text) if file.endswith(".json") else [json.loads(line) for line in text.splitlines()]

    @CHECK
    @given(st.sampled_from(places(value)), st.sampled_from([*VALUES, DELETED]))
    def check(place: tuple[Any, ...], other: Any) -> None:
        root = tmp_path / "copy"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(whole, root)
        changed = replaced(value, place, other)
        lines = [changed] if file.endswith(".json") else changed
        (root / "meta" / file).write_text("\n".join(json.dumps(line) for line in lines))
        inspected(root)

    check()


COLUMNS: tuple[Any, ...] = (None, -1, 0, 7, 10**15, 0.5, float("nan"), "text", "", True, [], [1], ["a"], {"a": 1})


@pytest.mark.parametrize("file", ["meta/tasks.parquet", "meta/episodes/chunk-000/file-000.parquet"])
def test_any_value_in_a_parquet_file(new: Path, tmp_path: Path, file: str) -> None:
    table = pq.read_table(new / file)
    names = [name for name in table.column_names if not name.startswith("stats/")]

    @CHECK
    @given(st.sampled_from(names), st.sampled_from([*COLUMNS, DELETED]), st.booleans())
    def check(name: str, other: Any, everywhere: bool) -> None:
        root = tmp_path / "copy"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(new, root)
        kept = table[name].to_pylist()
        cells = [other] * len(kept) if everywhere else [*kept[:-1], other]
        try:
            column = pa.array(cells)
        except pa.ArrowException:  # no column holds both
            column = pa.array([other] * len(kept))
        changed = table.drop_columns([name]) if other is DELETED else _put(table, name, column)
        pq.write_table(changed, root / file)
        inspected(root)

    check()


def _put(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)
