"""Columns are read as what info.json says they hold, whatever lists and numbers they are stored in."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.episodes.edited import DATA, add_column, change_info
from tests.interface.commands.test_data_commands import done

from presage.episodes.columns import column_values
from presage.episodes.dataset import Dataset
from presage.episodes.survey import survey
from presage.errors import UserError

PAIRS = np.arange(12, dtype=np.float64).reshape(6, 2)
MATRICES = np.arange(36, dtype=np.float64).reshape(6, 2, 3)


def read(column: pa.Array, dtype: str, *shape: int) -> np.ndarray:
    return column_values(column, {"dtype": dtype, "shape": list(shape), "names": None}, "x")[0]


@pytest.mark.parametrize("kind", [pa.list_(pa.float64(), 2), pa.list_(pa.float32()), pa.large_list(pa.float64())])
def test_kinds_of_lists(kind: pa.DataType) -> None:
    for column in (
        pa.array(PAIRS.tolist(), kind),
        pa.chunked_array([pa.array(PAIRS[:2].tolist(), kind), pa.array(PAIRS[2:].tolist(), kind)]),
    ):
        values = read(column, "float32", 2)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, PAIRS)


def test_nested_lists_and_flat_ones_of_a_matrix() -> None:
    for rows in (MATRICES.tolist(), MATRICES.reshape(6, 6).tolist()):
        np.testing.assert_array_equal(read(pa.array(rows), "float64", 2, 3), MATRICES)


def test_numbers_of_one_element_lists_and_of_other_types() -> None:
    np.testing.assert_array_equal(read(pa.array([[1.0], [2.0]]), "float32", 1), [1, 2])
    np.testing.assert_array_equal(read(pa.array([1, 2], pa.uint8()), "float32", 1), [1, 2])
    np.testing.assert_array_equal(read(pa.array([0.0, 1.0]), "bool", 1), [False, True])
    np.testing.assert_array_equal(read(pa.array([1, 2]).dictionary_encode(), "int64", 1), [1, 2])


def test_texts_however_they_are_encoded() -> None:
    texts = ["a", "b", "a", None]
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        values, recorded = column_values(pa.array(texts, kind), {"dtype": "string", "shape": [1]}, "x")
        assert values.tolist() == ["a", "b", "a", ""] and recorded.tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("column", "dtype", "shape", "says"),
    [
        (pa.array([[1.0], [1.0, 2.0, 3.0]]), "float32", [2], "does not have shape"),
        (pa.array([0.5]), "int64", [1], "holds numbers that int64 cannot"),
        (pa.array([300]), "uint8", [1], "holds numbers that uint8 cannot"),
        (pa.array(["a"]), "float32", [1], "holds string, not float32"),
        (pa.array([[1, None]]), "int64", [2], "has nulls inside rows"),
    ],
)
def test_what_is_not_there_is_refused(column: pa.Array, dtype: str, shape: list[int], says: str) -> None:
    with pytest.raises(UserError, match=f"^x {says}.*correct meta/info.json"):
        read(column, dtype, *shape)


ROWS = 22
UNREAD = {
    "language": ("language", [1], pa.array([[{"role": "user", "content": "grasp"}]] * ROWS)),
    "struct": ("struct", None, pa.array([{"a": 1.0}] * ROWS)),
    "object": ("object", [1], pa.array(["?"] * ROWS)),
    "varying": ("float32", [None], pa.array([[1.0] * (i % 3) for i in range(ROWS)])),
    "empty": ("float32", [0], pa.array([[]] * ROWS, pa.list_(pa.float32()))),
    "texts": ("string", [2], pa.array([["a", "b"]] * ROWS)),
}


def test_columns_of_other_kinds_are_listed_and_carried_along(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name, (dtype, shape, column) in UNREAD.items():
        add_column(root / DATA, name, column)
        feature = {"dtype": dtype, "names": None} | ({} if shape is None else {"shape": shape})
        change_info(root, lambda info, name=name, feature=feature: info["features"].update({name: feature}))
    found = survey(root)
    assert found.damage == [] and [text.split(" ")[0] for text in found.unread] == list(UNREAD)
    done("inspect", root, "--out", tmp_path / "page.html")
    assert "language (language)" in capsys.readouterr().out
    with pytest.raises(UserError, match="column 'language' is language .* listed but not read; choose another"):
        found.dataset.column("language")
    done("dataset", "filter", root, "--out", tmp_path / "out", "--episodes", "1,2")
    kept = Dataset(tmp_path / "out")
    assert set(UNREAD) <= set(kept.features) and kept.num_rows == 11


def test_nan_counts_where_it_is_read(root: Path) -> None:
    add_column(root / DATA, "force", pa.array([0.0] * 5 + [float("nan")] + [0.0] * 16))
    change_info(root, lambda info: info["features"].update(force={"dtype": "float64", "shape": [1], "names": None}))
    data = Dataset(root)
    assert data.column("action").shape == (22, 16)
    with pytest.raises(UserError, match="'force' is NaN or infinite in row 1 of episode 1; leave it out"):
        data.column("force")
    assert Dataset(root, [0, 2, 3]).column("force").shape == (17,)


def test_a_column_of_nulls_alone_was_not_recorded(root: Path, tmp_path: Path) -> None:
    add_column(root / DATA, "force", pa.nulls(22))
    change_info(root, lambda info: info["features"].update(force={"dtype": "float32", "shape": [3], "names": None}))
    data = Dataset(root)
    assert data.column("force").shape == (22, 3) and not data.recorded("force").any()
    assert survey(root).damage == []
    done("dataset", "filter", root, "--out", tmp_path / "out", "--episodes", "1")
    assert Dataset(tmp_path / "out").column("force").shape == (5, 3)
