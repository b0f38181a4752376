"""Success and quality mean the same to every command, however they were written down."""

from pathlib import Path

import numpy as np
import pytest
from tests.episodes.robots import write_numbers

from presage.episodes.dataset import Dataset
from presage.episodes.outcome import (
    as_success,
    chunk_quality,
    episode_success,
    read_quality,
    row_success,
    steps_to_success,
)
from presage.episodes.robot import Robot
from presage.episodes.steps import Steps
from presage.errors import UserError


def data(root: Path, facts: list | None = None, **columns: list) -> Dataset:
    """Two episodes of four rows; a column holds a value or a row of values for each."""

    def of(episode: int) -> dict[str, np.ndarray]:
        told = {name.replace("__", "."): np.array(values[episode]) for name, values in columns.items()}
        action = np.arange(8, dtype=np.float32).reshape(4, 2)
        return {"action": action} | {n: np.broadcast_to(v, 4).copy() if v.ndim < 2 else v for n, v in told.items()}

    return Dataset(write_numbers(root, of, facts=lambda e: {} if facts is None else {"success": facts[e]}))


@pytest.mark.parametrize("value", [True, 1, 1.0, np.float32(1), np.bool_(True), "true", "True ", "success", "yes", "1"])
def test_success(value: object) -> None:
    assert as_success(value, "here") is True


@pytest.mark.parametrize("value", [False, 0, 0.0, np.int64(0), "false", "FAILURE", "failed", "no", "0"])
def test_failure(value: object) -> None:
    assert as_success(value, "here") is False


@pytest.mark.parametrize("value", [None, "", "unknown", float("nan")])
def test_unknown(value: object) -> None:
    assert as_success(value, "here") is None


@pytest.mark.parametrize("value", ["maybe", 2, 0.5, -1])
def test_neither_is_refused(value: object) -> None:
    with pytest.raises(UserError, match="here: .* says neither success nor failure; write true or false"):
        as_success(value, "here")


@pytest.mark.parametrize("facts", [[True, False], ["success", "failure"], ["yes", "no"], [1, 0], [1.0, 0.0]])
def test_the_fact_of_an_episode(tmp_path: Path, facts: list) -> None:
    dataset = data(tmp_path / "d", facts)
    assert episode_success(dataset) == [True, False]
    quality = chunk_quality(dataset)
    assert np.isnan(quality[:4]).all() and (quality[4:] == 0).all()  # a failed episode is not imitated


@pytest.mark.parametrize(
    "rows",
    [
        [[False, False, True, True], [False] * 4],
        [[0, 0, 1, 1], [0] * 4],
        [[0.0, 0.0, 1.0, 1.0], [0.0] * 4],
        [["no", "no", "yes", "yes"], ["no"] * 4],
    ],
)
def test_a_column_of_rows(tmp_path: Path, rows: list) -> None:
    dataset = data(tmp_path / "d", next__success=rows)
    assert row_success(dataset).tolist() == [False, False, True, True, False, False, False, False]
    assert episode_success(dataset) == [True, False]
    steps = Steps(dataset, Robot.from_dataset(dataset, chunk=2, overlap=False))
    assert steps.column("next.success").tolist() == [False, True, False, False]
    assert [e.info["success"] for e in steps.episodes] == [True, False]


def test_the_fact_goes_before_the_column_and_a_column_that_is_never_true_says_nothing(tmp_path: Path) -> None:
    assert episode_success(data(tmp_path / "a", ["no", "yes"], success=[True, False])) == [False, True]
    assert episode_success(data(tmp_path / "b", success=["success", "failure"])) == [True, False]
    assert episode_success(data(tmp_path / "c", next__success=[False, False])) == [None, None]


def test_whether_a_column_was_kept_is_asked_of_the_whole_dataset(tmp_path: Path) -> None:
    root = data(tmp_path / "d", next__success=[[0, 0, 1, 1], [0] * 4]).root
    failed = Dataset(root, [1])
    for each in (failed, Steps(failed, Robot.from_dataset(failed, chunk=2, overlap=False))):
        assert episode_success(each) == [False] and (chunk_quality(each) == 0).all()
        assert np.isinf(steps_to_success(each)).all()
    words = data(tmp_path / "w", success=["yes", "no"]).root
    assert episode_success(Dataset(words, [1])) == [False]
    silent = data(tmp_path / "s", next__success=[False, False]).root
    assert episode_success(Dataset(silent, [1])) == [None]


def test_what_is_damaged_elsewhere_tells_nothing(tmp_path: Path) -> None:
    dataset = Dataset(data(tmp_path / "d", next__success=[[0, 0, 1, 1], [0] * 4]).root, [1])
    assert dataset.column("next.success").tolist() == [0] * 4
    next((dataset.root / "data").rglob("*.parquet")).unlink()
    assert episode_success(dataset) == [None]


def test_text_that_says_neither_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="d: column 'next.success': 'so so' says neither"):
        row_success(data(tmp_path / "d", next__success=["true", "so so"]))
    with pytest.raises(UserError, match="e: episode 1: 'success': 'perhaps' says neither"):
        episode_success(data(tmp_path / "e", ["true", "perhaps"]))


def test_quality_is_a_number_from_0_to_1(tmp_path: Path) -> None:
    dataset = data(tmp_path / "d", quality=[[1.0, 0.5, 1.0, 1.0], [0.0] * 4])
    assert chunk_quality(dataset)[:5].tolist() == [1, 0.5, 1, 1, 0]
    steps = Steps(dataset, Robot.from_dataset(dataset, chunk=2, overlap=False))
    assert steps.column("quality").tolist() == [0.5, 1, 0, 0]
    assert chunk_quality(data(tmp_path / "e", quality=[1, 0])).tolist() == [1] * 4 + [0] * 4


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["good", "bad"], "it holds string"),
        ([1, 3], "it reaches from 1 to 3"),
        ([-0.5, 1.0], "it reaches from -0.5 to 1"),
        ([[[0, 1]] * 4] * 2, "it holds 2 numbers a row"),
    ],
)
def test_a_quality_of_another_meaning_is_left_alone(tmp_path: Path, values: list, says: str) -> None:
    dataset = data(tmp_path / "d", quality=values)
    assert read_quality(dataset) == (None, says) and np.isnan(chunk_quality(dataset)).all()
    assert "quality" not in Steps(dataset, Robot.from_dataset(dataset)).features


def test_rows_until_success_end_where_nobody_wrote_down_whether_it_lasts(tmp_path: Path) -> None:
    """Success is said of what follows a row's action, and is latched."""
    found = steps_to_success(data(tmp_path / "a", next__success=[[0, 1, 1, 1], [0, 0, 0, 0]]))
    np.testing.assert_array_equal(found, [2, 1, 0, 0, *[np.inf] * 4])
    early = steps_to_success(data(tmp_path / "b", next__success=[[1, 1, 1, 1], [1, 1, 1, 1]]))
    np.testing.assert_array_equal(early[:4], [1, 0, 0, 0])


def test_where_no_row_ever_succeeds_nothing_is_known(tmp_path: Path) -> None:
    assert np.isnan(steps_to_success(data(tmp_path / "a", next__success=[[0] * 4] * 2))).all()
    assert np.isnan(steps_to_success(data(tmp_path / "b"))).all()


def test_an_episode_that_did_not_record_success_did_not_fail(tmp_path: Path) -> None:
    """Datasets with and without outcomes are joined into one."""

    def of(episode: int) -> dict[str, np.ndarray]:
        told = {} if episode == 2 else {"next.success": np.arange(4) > episode * 4}
        return {"action": np.zeros((4, 2), np.float32)} | told

    dataset = Dataset(write_numbers(tmp_path / "d", of, episodes=3))
    steps = Steps(dataset, Robot.from_dataset(dataset, chunk=2, overlap=False))
    for each in (dataset, steps):
        assert episode_success(each) == [True, False, None]
        unknown = np.repeat([False, False, True], each.num_rows // 3)
        np.testing.assert_array_equal(np.isnan(steps_to_success(each)), unknown)
        np.testing.assert_array_equal(chunk_quality(each) == 0, np.repeat([False, True, False], each.num_rows // 3))
