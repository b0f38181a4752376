"""What is kept is known by all that it was made from: settings, code, weights, data; and refused where one differs."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.recorded import moving_square

from presage.errors import UserError
from presage.policy.dreamt import once
from presage.policy.features import latents
from presage.systems import gpc, lingbot_va, mimic_video, uwm
from presage.systems.lab.early import Reader, ways
from presage.systems.lab.kept import contents, kept, made_of
from presage.systems.lab.starts import Start
from presage.systems.system import DEBUG, SMALL, Size
from presage.systems.table import ROWS, Row, has_recipe, recipe
from presage.training.loop import Optimiser
from presage.training.recorded import shape_of

STEPS = 3
DATA = moving_square()
SHAPE = shape_of(DATA)


def walker(length: float) -> Callable[[float], float]:
    def walk(x: float) -> float:
        """Somewhere else."""
        return x + length * STEPS

    return walk


def same_but_its_words(length: float) -> Callable[[float], float]:
    def walk(x: float) -> float:
        """Elsewhere."""
        return x + length * STEPS

    walk.__qualname__ = "walker.<locals>.walk"
    return walk


def test_a_function_is_its_code_and_what_it_closes_over() -> None:
    assert contents(walker(1.0)) == contents(walker(1.0)) == contents(same_but_its_words(1.0))
    others = [walker(2.0), partial(walker, 1.0), walker, lambda x: x + 1.0 * STEPS, lambda x: x - 1.0 * STEPS]
    assert len({str(contents(each)) for each in [walker(1.0), *others]}) == 6


def test_a_setting_that_a_function_names_is_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(walker(1.0)), contents(lambda: walker(1.0))
    monkeypatch.setattr(sys.modules[__name__], "STEPS", 4)
    assert contents(walker(1.0)) != before[0]


@pytest.mark.parametrize("use", ["base", "RANK 10", "OPT 10"])
def test_uses_of_a_system_are_told_apart(use: str) -> None:
    uses = gpc.uses(["image.top"])
    assert contents(uses[use]) == contents(gpc.uses(["image.top"])[use])
    assert all(contents(uses[use]) != contents(each) for name, each in uses.items() if name != use)
    assert contents(uses[use]) != contents(gpc.uses(["image.front"])[use])


@pytest.mark.parametrize("row", [row for row in ROWS if has_recipe(row)], ids=lambda row: row.name)
def test_every_recipe_is_known_by_its_content(row: Row) -> None:
    def known(size: Size) -> list[Any]:
        system = getattr(recipe(row), row.name)(SHAPE, size)
        assert isinstance(contents([system.build, system.uses]), list)
        return contents(system.stages)

    assert known(DEBUG) == known(DEBUG) != known(SMALL)


def test_ways_to_execute_and_to_read_are_known_by_their_content() -> None:
    for arms in (lingbot_va.executions(DATA), mimic_video_arms()):
        said = [str(contents(arm)) for arm in arms.values()]
        assert len(set(said)) == len(arms)
    assert str(contents(lingbot_va.executions(DATA))) == str(contents(lingbot_va.executions(DATA)))


def mimic_video_arms() -> dict[str, Any]:
    """As its check makes them."""
    size, present = DEBUG, latents(("image.front", "image.top"))
    return ways(Reader(partial(mimic_video.imagined, size), present, mimic_video.tap_of(size), 4, 5))


def test_stages_weights_and_data_are_told_apart() -> None:
    system, data = uwm.uwm(SHAPE, DEBUG), moving_square()
    longer = system.with_stage("joint", optimiser=replace(system.stages[1].optimiser, steps=7))
    oftener = system.with_stage("joint", optimiser=replace(system.stages[1].optimiser, save_every=1))
    assert contents(system.stages) != contents(longer.stages) and contents(system.stages) == contents(oftener.stages)
    models = [system.build(SHAPE) for _ in range(2)]
    assert contents(models[0]) != contents(models[1])
    models[1].load_state_dict(models[0].state_dict())
    assert contents(models[0]) == contents(models[1])
    once_more, outcome = (np.zeros((480, 1, 2)) for _ in range(2))
    outcome[1] = 1.0  # of a row that a fingerprint passes over
    many = moving_square(episodes=60)
    told = [replace(many, latents={"outcome": x}) for x in (once_more, outcome)]
    assert len({str(contents(each)) for each in (data, moving_square(seed=1), many, *told)}) == 5
    assert contents(many) == contents(moving_square(episodes=60))


def test_what_a_memory_holds_does_not_matter() -> None:
    made = once(lambda model, data: moving_square())
    before = contents(made)
    made(None, {})  # type: ignore[arg-type]
    assert contents(made) == before and before != contents(once(lambda model, data: moving_square(7)))
    assert contents(cache(walker)) == contents(walker)


def test_what_nothing_is_known_of_is_not_taken_for_another() -> None:
    with pytest.raises(TypeError, match="what tells"):
        contents(object())


def test_it_is_the_same_in_every_process() -> None:
    code = (
        "from presage.systems import gpc; from presage.systems.lab.kept import made_of;"
        "print(made_of(use=gpc.uses(['image.top'])['RANK 10'], where=lambda x: x in {'a', 'b', 'c'}))"
    )
    said = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert said[0].stdout == said[1].stdout and "'use': '#" in said[0].stdout


def test_what_is_kept_is_made_once_and_refused_for_anything_else(tmp_path: Path) -> None:
    made: list[int] = []
    path, starts = tmp_path / "arm" / "0.json", [Start("push-v3", 7, False)]

    def judge(**changed: Any) -> dict[str, Any]:
        def outcome() -> dict[str, Any]:
            made.append(1)
            return {"outcome": [1.0]}

        settings = {"starts": starts, "way_to_act": walker(1.0), "data": torch.ones(2)} | changed
        return kept(path, made_of(**settings), outcome)

    assert judge()["outcome"] == judge()["outcome"] == [1.0] and len(made) == 1
    for words, changed in {
        "starts": {"starts": [Start("push-v3", 8, False)]},
        "way to act": {"way_to_act": walker(1.5)},
        "data": {"data": torch.zeros(2)},
        "size": {"size": DEBUG},
    }.items():
        with pytest.raises(UserError, match=rf"0\.json was made with other {words}: give the check another --out"):
            judge(**changed)
    path.write_text('{"starts": [["push-v3", 7]], "outcome": [0.0]}')  # by starts alone, as before
    with pytest.raises(UserError, match="other starts"):
        judge()
    assert len(made) == 1


@dataclass(frozen=True)
class Way:
    optimiser: Optimiser
    of: str = "walking"


def test_another_simulator_is_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    first = made_of(way=Way(Optimiser(3, 4)))
    assert first["way"] != made_of(way=Way(Optimiser(3, 5)))["way"]
    monkeypatch.setattr("presage.systems.lab.kept.version", lambda name: "99")
    later = made_of(way=Way(Optimiser(3, 4)))
    assert later["way"] == first["way"] and later["simulators"] != first["simulators"]
