"""Tables come from bench results, with their goals, and from nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import tiny_model

from presage.errors import UserError
from presage.interface.cli import main
from presage.interface.pages.figures import GOALS, reached, read_page, read_record, render
from presage.training.checkpoint import save_model

RECORD: dict[str, Any] = {
    "bench": "control",
    "figures": {
        "success_joint": 0.5,
        "success_joint_low": 0.2,
        "success_joint_high": 0.8,
        "success_joint/push-v3": 1.0,
    },
    "command": "presage bench control",
    "seed": 0,
    "checkpoint": {"name": "mt10", "sha256": "0123"},
    "commit": "abc",
    "versions": {"torch": "2"},
    "machine": {"cpu": "c", "cores": 2, "bf16": False, "gpu": None},
}


def test_goals_compare_what_was_measured() -> None:
    figures = {"psnr": 35.0, "object_psnr": None}
    assert [good for *_, good in reached("codec", figures)] == [True, False]
    control = {"success_joint": 0.7, "success_closed_loop": 0.85, "success_bc": 0.9}
    assert [(round(v, 2), good) for _, v, _, good in reached("control", control)] == [(0.85, True), (-0.05, False)]
    assert all(isinstance(bound, int | float) for goals in GOALS.values() for _, bound in goals.values())


def test_from_a_bench_to_the_documentation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = save_model(tiny_model(size=64), tmp_path / "tiny" / "model", "a random model")
    file, page = tmp_path / "cache.json", tmp_path / "docs" / "figures.md"
    assert main(["bench", "cache", "--checkpoint", str(checkpoint), "--quick", "--json", str(file)]) == 0
    record = read_record(file)
    assert record["checkpoint"]["name"] == "tiny" and str(tmp_path) not in file.read_text()
    assert record["figures"]["max_abs_difference"] < 1e-4
    assert main(["figures", str(file), "--out", str(page)]) == 0
    text = page.read_text()
    assert "## cache" in text and "max_abs_difference" in text and record["commit"] in text
    assert "reached" in capsys.readouterr().out


def test_items_become_one_table(tmp_path: Path) -> None:
    text = render({"control": RECORD})
    assert "| success_joint | 0.5 [0.2, 0.8] |" in text and "| push-v3 | 1 |" in text
    (tmp_path / "figures.md").write_text(text)
    page = read_page(tmp_path / "figures.md")
    assert render({"control": RECORD}, page) == text == render({}, page)  # what is not measured again stays, once
    (tmp_path / "a.json").write_text(json.dumps({"bench": "control"}))
    with pytest.raises(UserError, match="figures"):
        read_record(tmp_path / "a.json")


def test_what_is_no_section_of_a_measured_bench_stays_where_it_is(tmp_path: Path) -> None:
    file, page = tmp_path / "control.json", tmp_path / "figures.md"
    file.write_text(json.dumps(RECORD))
    dream = "## dream\n\nOld.\n\n"
    page.write_text(f"# Figures\n\nMy words.\n\n## Own section\n\nNotes.\n\n{dream}## Last words\n\nEnd.\n")
    for _ in range(2):
        assert main(["figures", str(file), "--out", str(page)]) == 0
        head, control, rest = re.split("(?=## control|## dream)", page.read_text())
        assert head == "# Figures\n\nMy words.\n\n## Own section\n\nNotes.\n\n"
        assert "| push-v3 | 1 |" in control and rest == f"{dream}## Last words\n\nEnd.\n"


@pytest.mark.parametrize("text", [b"# My diary\n\n## control\n", b"", b"\xff# Figures\n", b"# Figures of mine\n"])
def test_a_file_that_is_none_of_figures_is_not_overwritten(
    text: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / "control.json", tmp_path / "diary.md"
    file.write_text(json.dumps(RECORD))
    page.write_bytes(text)
    assert main(["figures", str(file), "--out", str(page)]) == 2
    said = capsys.readouterr().err
    assert "diary.md does not begin with '# Figures'" in said and said.count("\n") == 1
    assert page.read_bytes() == text


@pytest.mark.parametrize("command", ["figures", "report"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("figures", [1]),
        ("bench", ["control"]),
        ("command", 3),
        ("machine", "m"),
        ("machine", {"cpu": "c"}),
        ("versions", []),
        ("checkpoint", None),
        ("checkpoint", {"name": "mt10"}),
    ],
)
def test_a_field_of_another_kind_is_one_line(
    command: str, field: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(RECORD | {field: value}))
    assert main([command, str(file), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"a.json is damaged (field '{field}' is no" in said and said.count("\n") == 1


@pytest.mark.parametrize("command", ["figures", "report"])
def test_a_figure_that_is_no_number_was_not_measured(command: str, tmp_path: Path) -> None:
    file, out = tmp_path / "a.json", tmp_path / "out"
    file.write_text(json.dumps(RECORD | {"figures": {"success_joint": "0.9", "success_bc": [0.1]}}))
    assert main([command, str(file), "--out", str(out)]) == 0
    assert out.read_text().count("not measured") == 2
