"""Files are whole, JSON is plain, commands are portable."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presage.errors import UserError
from presage.results.output import (
    check_new_folder,
    check_writable,
    command_line,
    plain,
    show,
    show_correlation,
    show_rate,
    write_json,
)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_json_is_what_every_reader_accepts(value: float) -> None:
    text = json.dumps(plain({"a": value, "b": np.float64(value), "c": [np.int64(3), (True, None)]}), allow_nan=False)
    back = json.loads(text)
    assert (back["a"] is None) == (not math.isfinite(value))
    assert back["c"] == [3, [True, None]]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_json(tmp_path / "file" / "x.json", {})
    write_json(tmp_path / "new" / "x.json", {"a": 1})
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.json"]


def test_looking_whether_something_can_be_written_writes_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "er" / "x.json")
    check_new_folder(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "nowhere").symlink_to("nothing")
    with pytest.raises(UserError, match="exists already"):
        check_new_folder(tmp_path / "nowhere")


def test_commands_name_no_folder_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = command_line(["act", "--checkpoint", str(tmp_path / "runs" / "a b"), "--video", "/somewhere/else/videos"])
    assert said == "presage act --checkpoint 'runs/a b' --video videos"


def test_figures_are_readable() -> None:
    assert [show(x) for x in (12345.6, 0.12345, 7, True, None, math.nan)] == ["12,346", "0.123", "7", "yes", "-", "-"]
    assert show_rate({"s": 0.85, "s_low": 0.64, "s_high": 0.948}, "s") == "85 % [64, 95]"


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_correlation_of_few_policies_says_why_it_has_no_bounds(missing: float | None) -> None:
    assert show_correlation({"r": 0.881, "r_low": 0.763, "r_high": 0.965}, "r") == "0.881 [0.763, 0.965]"
    said = show_correlation({"r": 0.998, "r_low": missing, "r_high": missing}, "r")
    assert said == "0.998, too few policies for an interval"
    assert show_correlation({"r": missing, "r_low": missing, "r_high": missing}, "r") == "-"
