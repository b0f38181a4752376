"""What each pixel shows, the scene without its object, and the object put elsewhere."""

import numpy as np
import pytest

from presage.worlds.collect import renderer_of, simulation_of
from presage.worlds.metaworld import project
from presage.worlds.world import BACKGROUND, GOAL, OBJECT, ROBOT, find_world

CAMERAS = ("front", "top")


def shown(task: str):
    return simulation_of(task), renderer_of(find_world(task), CAMERAS, 64, 2)


def test_hand_puck_and_goal_are_where_they_are_seen() -> None:
    simulation, renderer = shown("push-v3")
    simulation.reset(1)
    segments = simulation.segments(renderer)
    for camera in CAMERAS:
        for point, label in ((simulation.thing, OBJECT), (simulation.goal, GOAL)):
            column, row = project(camera, point, 64).astype(int)
            assert segments[camera][row, column] == label
        assert {BACKGROUND, ROBOT} < set(np.unique(segments[camera]))


@pytest.mark.parametrize("task", ["push-v3", "drawer-open-v3"])
def test_without_its_object_a_scene_is_the_same_elsewhere(task: str) -> None:
    simulation, renderer = shown(task)
    simulation.reset(2)
    frames, empty, segments = (
        simulation.frames(renderer),
        simulation.empty_frames(renderer),
        simulation.segments(renderer),
    )
    for camera in CAMERAS:
        there = segments[camera] == OBJECT
        assert (frames[camera][~there] == empty[camera][~there]).all()
        assert there.any() and np.abs(frames[camera][there].astype(int) - empty[camera][there]).mean() > 10
    again = simulation.frames(renderer)
    assert all((again[camera] == frames[camera]).all() for camera in CAMERAS)  # nothing stays hidden


def test_an_object_is_put_where_it_is_told_and_a_fixture_within_its_range() -> None:
    rng = np.random.default_rng(0)
    puck = simulation_of("push-v3")
    puck.reset(3)
    puck.place(np.array([0.1, 0.7, 0.02]), rng)
    assert puck.loose and puck.thing == pytest.approx([0.1, 0.7, 0.02])
    drawer = simulation_of("drawer-open-v3")
    drawer.reset(3)
    shut = drawer.thing
    drawer.place(np.zeros(3), rng)
    assert not drawer.loose and shut[1] - drawer.thing[1] == pytest.approx(0.16, abs=0.02)


def test_push_t_shows_agent_block_and_goal_and_can_do_without_the_block() -> None:
    simulation, renderer = simulation_of("pusht"), renderer_of(find_world("pusht"), ("top",), 64, 2)
    simulation.reset(1)
    segments, frames = simulation.segments(renderer)["top"], simulation.frames(renderer)["top"]
    empty, there = simulation.empty_frames(renderer)["top"], segments == OBJECT
    for (x, y), label in ((simulation.agent[:2], ROBOT), (simulation.thing[:2], OBJECT)):
        assert segments[int(y / 8), int(x / 8)] == label
    assert set(np.unique(segments)) == {BACKGROUND, GOAL, ROBOT, OBJECT}
    assert (simulation.masks(renderer)["top"] == (segments > 0)).all()
    assert (frames[~there] == empty[~there]).all() and (frames[there] != empty[there]).any(-1).all()


@pytest.mark.parametrize("task", ["push-v3", "drawer-open-v3", "pusht"])
def test_an_object_is_put_back_where_it_was(task: str) -> None:
    simulation = simulation_of(task)
    simulation.reset(3)
    pose, thing = simulation.pose, simulation.thing
    simulation.place(np.array([0.5, 0.7, 0.02]), np.random.default_rng(0))
    assert (simulation.pose != pose).any()
    simulation.pose = pose
    assert (simulation.pose == pose).all()
    assert task != "pusht" or np.array_equal(simulation.thing, thing)
