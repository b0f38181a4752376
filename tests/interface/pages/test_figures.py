"""Tables come from bench results, with their goals, and from nothing else."""

import json
from pathlib import Path

import pytest
from tests.tiny import tiny_model

from presage.errors import UserError
from presage.interface.cli import main
from presage.interface.pages.figures import GOALS, reached, read_record, render, sections
from presage.training.checkpoint import save_model


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
    record = {
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
    text = render({"control": record})
    assert "| success_joint | 0.5 [0.2, 0.8] |" in text and "| push-v3 | 1 |" in text
    (tmp_path / "figures.md").write_text(text)
    kept = sections(tmp_path / "figures.md")
    assert render({"control": record}, kept) == text == render({}, kept)  # what is not measured again stays, once
    (tmp_path / "a.json").write_text(json.dumps({"bench": "control"}))
    with pytest.raises(UserError, match="figures"):
        read_record(tmp_path / "a.json")
