"""Scenes show what they are for, and are recorded once."""

from pathlib import Path

import numpy as np
import pytest

from presage.errors import UserError
from presage.simulator.frames import scenes as module
from presage.simulator.frames.metaworld_scenes import KINDS, SLIDING
from presage.simulator.frames.scenes import Scenes, scene_seeds, scenes
from presage.simulator.frames.staging import stage
from presage.worlds.collect import simulation_of
from presage.worlds.seeds import FIRST_CALIBRATION_SEED, FIRST_READER_SEED, FIRST_TUNING_SEED
from presage.worlds.world import OBJECT, ROBOT


def test_arrays_tell_one_story(recorded: dict[str, Scenes]) -> None:
    for each in recorded.values():
        e, rows = each.frames.shape[:2]
        assert each.past + each.steps == rows == each.segments.shape[1] == each.actions.shape[1] + 1
        assert len(each.task) == e and each.redrawn.shape[1] == (each.steps >= 1) + (each.steps >= 8)
        assert {ROBOT, OBJECT} <= set(np.unique(each.segments)) or each.kind == "removed"


def test_the_hand_is_where_the_robot_is_seen(recorded: dict[str, Scenes]) -> None:
    given = recorded["expert"]
    column, row = given.hand[0, 3, 0].round().astype(int)
    assert (given.segments[0, 3, 0, row - 3 : row + 4, column - 3 : column + 4] == ROBOT).any()


def test_a_knock_moves_its_object(recorded: dict[str, Scenes]) -> None:
    knock = recorded["knock"]
    assert knock.moved(knock.steps).all() and not knock.moved(0).any()
    assert (np.linalg.norm(knock.at(knock.object, 8) - knock.at(knock.object, 0), axis=-1).max(1) >= 6).all()


def test_branches_begin_alike_and_end_apart(recorded: dict[str, Scenes]) -> None:
    branch = recorded["branch"]
    first = branch.group == 0
    assert first.sum() == KINDS["branch"].variants
    shown = branch.frames[first, : branch.past]
    assert (shown == shown[:1]).all()
    assert branch.at(branch.place, branch.steps)[first].std(0).max() > 0.01


def test_a_removed_object_is_out_of_sight_in_the_last_frame_shown(recorded: dict[str, Scenes]) -> None:
    removed = recorded["removed"]
    assert (removed.segments[:, 0] == OBJECT).any() and not (removed.at(removed.segments, 0) == OBJECT).any()


def test_the_robot_is_redrawn_and_the_object_is_not(recorded: dict[str, Scenes]) -> None:
    """The perfect picture of a dream that knows no object: right at first, wrong where the object went."""
    knock = recorded["knock"]
    truth = knock.at(knock.frames, 8)
    at_object = knock.at(knock.segments, 8) == OBJECT
    assert np.abs(knock.redrawn[:, 1].astype(int) - truth)[at_object].mean() > 20
    elsewhere = ~(at_object | (knock.at(knock.segments, 0) == OBJECT))
    assert np.abs(knock.redrawn[:, 1].astype(int) - truth)[elsewhere].mean() < 3


@pytest.mark.parametrize("name", ["miss", "open"])
def test_without_a_hold_the_object_is_not_lifted(name: str) -> None:
    simulation, heights = simulation_of("pick-place-v3"), []
    stage(simulation, KINDS[name], 0, 0, lambda: heights.append(simulation.thing[2]))
    assert max(heights) < 0.06


def test_what_slides_goes_further_and_the_simulator_is_left_as_it_was() -> None:
    simulation = simulation_of("push-v3")
    before = simulation.model.geom_friction.copy()
    far = []
    for variant in (0, len(SLIDING) - 1):
        places: list[np.ndarray] = []
        stage(simulation, KINDS["sliding"], 3, variant, lambda places=places: places.append(simulation.thing))
        shown = KINDS["sliding"].past - 1
        far.append([np.linalg.norm(places[shown] - places[0]), np.linalg.norm(places[-1] - places[shown])])
    assert np.greater(far[1], np.multiply(1.5, far[0])).all()  # in the push that is shown and in the one that is not
    assert (simulation.model.geom_friction == before).all()


def test_scenes_are_recorded_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scenes("removed", 1, tuning=True, steps=1, workers=0)
    monkeypatch.setattr(module, "record", None)
    again = scenes("removed", 1, tuning=True, steps=1, workers=0)
    assert (first.frames == again.frames).all() and first.task == again.task


def test_tuning_and_evaluation_have_seeds_of_their_own() -> None:
    tuning, evaluation = scene_seeds(0, 40, tuning=True), scene_seeds(3, 40, tuning=False)
    assert FIRST_TUNING_SEED <= min(tuning) and max(tuning) < FIRST_READER_SEED
    assert max(evaluation) < FIRST_CALIBRATION_SEED and len(set(evaluation)) == 40
    with pytest.raises(UserError, match="590000"):
        scene_seeds(0, 200, tuning=False)
