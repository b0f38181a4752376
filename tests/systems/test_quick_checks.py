"""`presage systems check --all --quick`: the check of every recipe as a debug twin, system by system."""

import json
from pathlib import Path
from typing import Any

import pytest

from presage.interface.cli import main
from presage.systems.lab.arms import QUICK_STEPS
from presage.systems.lab.check import CheckResult, load
from presage.systems.table import ROWS, has_recipe

RECIPES = [row.name for row in ROWS if has_recipe(row)]
CLAIMED = {
    "dreamgen": "real + dreams",
    "gpc": "RANK 50",
    "gr1": "pretrained + image loss",
    "irasim": "P = 400, K = 30",
    "lingbot_va": "grounded",
    "mimic_video": "level 1.0",
    "onex_evaluation": "P = 800",
    "pad": "image + free video",
    "unipi": "UniPi",
    "uwm": "few + free",
    "vjepa2_ac": "CEM",
    "vpp": "one-step features",
}
"""Whose claim it is that a check judges. Of GPC's two the weaker one is judged, which may be either."""
LINES = {
    "dreamgen": "label's error / with others' futures",
    "gpc": "reward of a success, its block put back / as it is",
    "gr1": "future patches' error / copied ones', moved",
    "irasim": "P = 0: K = 30 over K = 1",
    "lingbot_va": "naive / synchronous",
    "mimic_video": "frame of the trained / of the random",
    "onex_evaluation": "put-backs called success",
    "pad": "error of the chunk / beside another future",
    "unipi": "translator's error with others' futures / true ones",
    "uwm": "inverse error / with other futures",
    "vjepa2_ac": "aimed at another episode's picture",
    "vpp": "frame of the trained / of the random U-Net",
}
"""A line without which each verdict would mean nothing"""


def run(name: str, out: Path, *more: str) -> CheckResult:
    assert main(["systems", "check", name, "--quick", "--seeds", "1", "--out", str(out), *more]) == 0
    return load(out / "check.json")


@pytest.mark.parametrize("name", RECIPES)
def test_a_check_runs_says_what_it_must_and_goes_on(name: str, tmp_path: Path, capsys: Any) -> None:
    result = run(name, tmp_path)
    assert result.quick and result.block.kind == "tuning" and result.card.name == name
    verdict = result.verdict
    assert verdict is not None and len(verdict.comparisons) >= 1 and len(result.arms) >= 3
    assert verdict.arm == CLAIMED[name] or (name == "gpc" and verdict.arm == "OPT 10")
    assert LINES[name] in [line.name for line in verdict.sanity]
    assert all(arm.seconds > 0 and arm.steps > 0 and arm.parameters > 0 for arm in result.arms)
    assert all(arm.rows > 0 or arm.name.startswith("random weights") for arm in result.arms)
    said = capsys.readouterr().out
    assert "quick run, worth nothing as evidence" in said and all(arm.name in said for arm in result.arms)
    assert f"<h1>{result.card.title}</h1>" in (tmp_path / "index.html").read_text()

    first = result.arms[0]
    again = run(name, tmp_path, "--arms", first.name)  # what was judged is kept
    assert again.verdict is None and [arm.name for arm in again.arms] == [first.name]
    assert again.arms[0].outcomes == first.outcomes and again.block == result.block
    assert json.loads((tmp_path / "block.json").read_text())["kind"] == "tuning"


def test_every_recipe_has_a_check_and_its_line_is_named() -> None:
    assert set(CLAIMED) == set(LINES) == set(RECIPES) and QUICK_STEPS > 1
