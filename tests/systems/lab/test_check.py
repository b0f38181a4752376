"""Running a check, and keeping what it found."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.systems.example import make_result

from presage.errors import UserError
from presage.systems.lab import check
from presage.systems.lab.check import Arm, block_for, from_json, load, published, save, state_of, to_json
from presage.systems.table import find


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_recipe_is_given_what_was_asked_for(monkeypatch, tmp_path) -> None:
    asked, result = [], make_result()
    module = SimpleNamespace(check=lambda *arguments: asked.append(arguments) or result)
    monkeypatch.setattr(check, "recipe", lambda row: module)
    assert check.run(find("uwm"), ["without"], range(3), True, tmp_path) is result
    assert asked == [(("without",), (0, 1, 2), True, tmp_path)]


def test_a_result_comes_back_from_its_file(tmp_path) -> None:
    result = make_result()
    save(tmp_path / "a" / "check.json", result)
    assert load(tmp_path / "a" / "check.json") == result
    part = replace(result, verdict=None, figures={"seconds a chunk": 0.1})
    assert from_json(json.loads(json.dumps(to_json(part)))) == part


def test_a_figure_that_is_not_finite_does_not_lose_an_hour(tmp_path) -> None:
    save(tmp_path / "check.json", replace(make_result(), figures={"ratio": float("nan")}))
    assert load(tmp_path / "check.json").figures == {"ratio": None}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"card": {"uses": []}, "arms": []}'])
def test_what_is_no_result_is_told_with_its_file(tmp_path, content: str) -> None:
    (tmp_path / "check.json").write_text(content)
    with pytest.raises(UserError, match=r"check\.json.*run the check again"):
        load(tmp_path / "check.json")


def test_the_state_of_a_system(tmp_path, monkeypatch) -> None:
    row = find("uwm")
    monkeypatch.setattr(check, "has_recipe", lambda row: row.name == "uwm")
    assert state_of(find("dva"), tmp_path) == ("planned", "") and state_of(row, tmp_path) == ("recipe", "")
    save(tmp_path / "uwm.json", make_result())
    assert state_of(row, tmp_path) == ("checked", "shown") and published(row, tmp_path) == make_result()


def test_a_check_judges_on_blocks_that_nobody_used(monkeypatch) -> None:
    row = find("uwm")
    monkeypatch.setattr(check, "published", lambda row: None)
    assert block_for(row, quick=True).kind == "tuning"
    assert [block_for(row, quick=False).number for _ in range(2)] == [0, 1]
    monkeypatch.setattr(check, "published", lambda row: make_result())  # on block 2, elsewhere
    assert [block_for(row, quick=False).number for _ in range(2)] == [3, 4]


def test_the_mean_of_an_arm_is_over_all_starts() -> None:
    assert Arm("a", ((1.0, 0.0), (1.0, 1.0)), 1.0, 1, 1, 1).mean == 0.75
