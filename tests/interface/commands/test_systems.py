"""`presage systems` and `presage lab`, as they are typed."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.systems.example import make_result

from presage.interface.cli import main
from presage.systems.lab import check
from presage.systems.lab.check import load


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_all_are_listed(capsys) -> None:
    assert main(["systems"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 37 and lines[24].split()[:3] == ["24", "uwm", "UWM"]
    assert main(["systems", "list", "--json", "all.json"]) == 0
    assert json.loads(Path("all.json").read_text())["figures"]["uwm"]["paper"] == "2504.02792"


def test_a_system_is_shown_by_name_title_or_number(capsys) -> None:
    shown = []
    for name in ("uwm", "UWM", "24"):
        assert main(["systems", "show", name]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] == shown[2] and "2504.02792" in shown[0]


def test_a_system_without_a_recipe_is_one_line(capsys) -> None:
    assert main(["systems", "check", "dva"]) == 2
    assert capsys.readouterr().err == (
        "presage: error: Direct Video Action (36) has no recipe yet: presage systems shows which have\n"
    )
    assert not Path("runs").exists()


def test_a_check_leaves_its_result_and_a_page(capsys, monkeypatch) -> None:
    asked: list[tuple] = []
    recipe = SimpleNamespace(check=lambda *arguments: asked.append(arguments) or make_result())
    monkeypatch.setattr(check, "recipe", lambda row: recipe)
    arguments = [
        "systems",
        "check",
        "uwm",
        "--arms",
        "without",
        "--seeds",
        "2",
        "--seed",
        "5",
        "--json",
        "figures.json",
    ]
    monkeypatch.setattr(sys, "argv", ["presage", *arguments])
    assert main(arguments) == 0
    assert asked == [(("without",), (5, 6), False, Path("runs/systems/uwm"))]
    result = load(Path("runs/systems/uwm/check.json"))
    assert result.command == f"presage {' '.join(arguments)}" and result.machine["cores"] >= 1 and result.versions
    assert load(Path("figures.json")) == result
    assert "<h1>UWM</h1>" in Path("runs/systems/uwm/index.html").read_text()
    assert "UWM (24): shown" in capsys.readouterr().out


def test_the_lab_says_what_is_missing_and_how_to_make_it(capsys) -> None:
    assert main(["lab", "show", "--quick", "--json", "lab.json"]) == 0
    assert "play: not made; presage lab make play --quick" in capsys.readouterr().out
    assert json.loads(Path("lab.json").read_text())["figures"]["play"] is None


def test_the_debug_twin_is_made_in_seconds_and_shown(capsys) -> None:
    assert main(["lab", "make", "plus2", "--quick"]) == 0
    assert main(["lab", "show", "--quick", "--out", "page"]) == 0
    said = capsys.readouterr().out
    assert said.count("plus2: demonstrations of two more tasks") == 3 and "rows_per_s" in said
    assert "[1/1] plus2: demonstrations of two more tasks (about 1 s, 1 s left)" in said
    assert "1 of 9 datasets" in Path("page/index.html").read_text()


def test_two_systems_are_compared_in_the_terminal_and_on_a_page(capsys) -> None:
    assert main(["systems", "compare", "VPP", "24", "--out", "both", "--json", "both.json"]) == 0
    said = capsys.readouterr().out
    assert "Video Prediction Policy (22)" in said.splitlines()[0] and "margin +0.10" in said
    assert "<h1>Video Prediction Policy and UWM</h1>" in Path("both/index.html").read_text()
    assert json.loads(Path("both.json").read_text())["figures"]["vpp"]["check"]["figure"] == "success"
    for names in (["vpp"], ["vpp", "22"], ["vpp", "uwm", "pad"]):
        assert main(["systems", "compare", *names]) == 2
