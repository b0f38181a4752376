"""The lab as a whole: what is made in which order, how long it takes yet, and what is there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from presage.errors import UserError
from presage.systems.lab import inventory
from presage.systems.lab.artifacts import artifacts_folder
from presage.systems.lab.datasets import folder_of, wanted
from presage.systems.lab.inventory import PIECES, Piece, Step, current, make_all, minutes, seen_by, shelf, steps_to
from presage.systems.lab.labels import ArtifactCard, Seen, write_card
from presage.systems.table import ROWS, has_recipe

DATASETS = [one.name for one in wanted()]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_datasets_come_before_what_is_trained_on_them() -> None:
    names = [step.name for step in steps_to((), False, 0, 2)]
    assert names == [*DATASETS, "w-base", "pool", "drivers", "outcome-head", "pool-success"]
    for piece in PIECES:
        assert set(piece.needs) <= set(DATASETS) and all(
            number in {row.number for row in ROWS} for number in piece.rows
        )


def test_every_recipe_finds_its_datasets_in_the_lab() -> None:
    """The first twelve systems, by the datasets that each says it reads."""
    used = {number for one in wanted() for number in one.rows} | {number for piece in PIECES for number in piece.rows}
    assert {row.number for row in ROWS if has_recipe(row)} <= used


def test_an_artifact_brings_what_it_needs_and_another_lab_has_none() -> None:
    assert [step.name for step in steps_to(["pool"], False, 0, 2)] == ["t3", "pool"]
    assert [step.name for step in steps_to(["play", "w-base"], True, 0, 2)] == ["noise", "play", "w-base"]
    assert [step.name for step in steps_to((), False, 1, 2)] == DATASETS
    with pytest.raises(UserError, match="the lab has no 't9'; choose from t3, rest, .*pool-success"):
        steps_to(["t9"], False, 0, 2)


def test_what_remains_is_told_by_the_pace_of_what_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    now, said = [0.0], []
    monkeypatch.setattr(inventory, "monotonic", lambda: now[0])

    def takes(seconds: float) -> Callable[[], Any]:
        return lambda: now.__setitem__(0, now[0] + seconds)

    steps = [
        Step("t3", "demonstrations", 60, True, takes(1)),
        Step("play", "contacts", 60, False, takes(180)),
        Step("w-base", "a model", 600, False, takes(600)),
    ]
    assert list(make_all(steps, said.append)) == steps
    assert said == [
        "[1/3] t3: demonstrations (there)",
        "[2/3] play: contacts (about 60 s, 11 min left)",
        "[3/3] w-base: a model (about 30 min, 30 min left)",
    ]
    assert minutes(89) == "89 s" and minutes(5400) == "90 min"


def test_a_killed_call_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made is opened again and not made, and the one that was broken off is begun once more."""
    made: list[str] = []

    def piece(name: str) -> Piece:
        def make(quick: bool, out: Path) -> None:
            made.append(name)
            if made == ["a", "b"]:
                raise KeyboardInterrupt
            write_card(artifacts_folder() / name, ArtifactCard(name, ()))

        return Piece(name, "something", (), (), 60.0, (name,), make)

    monkeypatch.setattr(inventory, "PIECES", (piece("a"), piece("b"), piece("c")))
    with pytest.raises(KeyboardInterrupt):
        list(make_all(steps_to(["a", "b", "c"], False, 0, 2), print))
    there = [step.there for step in steps_to(["a", "b", "c"], False, 0, 2)]
    assert there == [True, False, False]
    assert [step.name for step in make_all(steps_to(["a", "b", "c"], False, 0, 2), print)] == ["a", "b", "c"]
    assert made == ["a", "b", "a", "b", "c"]


def test_artifacts_of_other_data_are_not_those_of_the_lab() -> None:
    (t3,) = [folder_of(one).name for one in wanted() if one.name == "t3"]
    for name, source in (("pool-codec", t3), ("pool-flow-3-0", "t3-0000000000")):
        write_card(artifacts_folder() / name, ArtifactCard(name, (Seen("t3", ("action",), (1,)),), sources=(source,)))
    assert [card.name for card in current(False)] == ["pool-codec"]
    found = shelf(False)
    assert {piece.name: len(cards) for piece, cards in found.artifacts if cards} == {"pool": 1, "drivers": 1}
    assert all(card is None for _, card in found.datasets) and found.success == {}


def test_of_a_policy_that_was_trained_again_the_newer_success_is_shown() -> None:
    folder = artifacts_folder() / inventory.SUCCESS
    folder.mkdir(parents=True)
    for name, rate in (("still-0123456789", 0.0), ("flow-3_demonstrations-bbbbbbbbbb", 0.25)):
        (folder / f"{name}.json").write_text(json.dumps({"success": [rate]}))
    (folder / "flow-3_demonstrations-aaaaaaaaaa.json").write_text(json.dumps({"success": [0.75]}))
    assert shelf(False).success == {"still": [0.0], "flow-3_demonstrations": [0.75]}


def test_a_ledger_in_words() -> None:
    seen = (Seen("noise", ("observation.images", "action")), Seen("t3", ("action", "quality"), (1, 2)))
    card = ArtifactCard("a", (*seen, Seen("rest", ("observation.images",)), Seen("plus2", ("instruction",))))
    assert seen_by(card) == (
        "action of all episodes of noise; action, quality of 2 episodes of t3; pictures and words of plus2, rest"
    )
    assert seen_by(ArtifactCard("a", ())) == "nothing"
