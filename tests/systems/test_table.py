"""The table of systems: 36 rows, each found in whatever way people call it, and recipes that need no registration."""

import re

import pytest

from presage.errors import UserError
from presage.systems import table, uwm
from presage.systems.table import ROWS, USES, find, has_recipe, recipe


def test_there_are_36_and_every_use_has_some() -> None:
    assert [row.number for row in ROWS] == list(range(1, 37))
    assert {use for row in ROWS for use in row.uses} == set(USES)
    assert len({row.name for row in ROWS}) == len({row.claim for row in ROWS}) == 36


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_complete(row: table.Row) -> None:
    assert row.name.isidentifier() and row.name == row.name.lower()  # it is the name of a module
    assert re.fullmatch(r"\d{4}\.\d{5}|", row.paper)
    assert row.claim.endswith(".") and len(row.claim) <= 120 and set(row.uses) <= set(USES)


def test_names_of_recipes_are_no_names_of_other_modules() -> None:
    others = {"check", "files", "lab", "labels", "play", "recording", "report", "shipped", "starts", "table", "verdict"}
    assert not {row.name for row in ROWS} & others


@pytest.mark.parametrize("called", ["vjepa2_ac", "V-JEPA 2-AC", "v-jepa-2-ac", "VJEPA2AC", "5"])
def test_a_system_is_found_in_any_spelling(called: str) -> None:
    assert find(called).number == 5


def test_what_is_none_is_answered_with_what_is_close() -> None:
    with pytest.raises(UserError, match="did you mean uwm"):
        find("uwn")
    with pytest.raises(UserError, match="presage systems lists them"):
        find("37")


def test_a_system_without_a_module_has_no_recipe_and_says_so() -> None:
    row = table.Row(99, "never_written", "Never", "", ("joint",), "Nothing.")
    assert not has_recipe(row)
    with pytest.raises(UserError, match=r"Never \(99\) has no recipe yet"):
        recipe(row)


def test_a_module_of_that_name_is_its_recipe() -> None:
    assert recipe(find("uwm")) is uwm


def test_presages_own_model_is_found_beside_the_table() -> None:
    assert find("reference").number == 0 and find("Reference") not in ROWS and has_recipe(find("reference"))
