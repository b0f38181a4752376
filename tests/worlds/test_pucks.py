"""Three pucks and three marks: nine tasks that look alike, of which each moves one puck."""

import numpy as np
import pytest

from presage.worlds import WORLDS, ExpertPolicy, make_world, rollout
from presage.worlds.metaworld import Renderer
from presage.worlds.pucks import Simulation
from presage.worlds.pucks_words import COLOURS, PLACES

TASKS = list(WORLDS["pucks"])


@pytest.fixture(scope="module")
def simulations() -> dict[str, Simulation]:
    return {task: Simulation(task) for task in ("pucks-blue-left", "pucks-yellow-right")}


def flat(places: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack(list(places.values()))


def test_every_colour_goes_with_every_place() -> None:
    assert TASKS == [f"pucks-{colour}-{place}" for colour in COLOURS for place in PLACES]


def test_a_start_is_the_same_whatever_is_asked_for(simulations) -> None:
    one, other = simulations.values()
    renderer = Renderer(("front", "top"), 32, 1)
    for seed in (3, 4):
        one.reset(seed)
        other.reset(seed)
        assert np.array_equal(flat(one.places()), flat(other.places()))
        assert np.array_equal(flat(one.marks()), flat(other.marks()))
        first, second = one.frames(renderer), other.frames(renderer)
        assert all(np.array_equal(first[camera], second[camera]) for camera in first)


def test_starts_differ_in_order_and_place_and_no_two_pucks_touch(simulations) -> None:
    simulation = simulations["pucks-blue-left"]
    orders, places = set(), []
    for seed in range(30):
        simulation.reset(seed)
        x = flat(simulation.places())[:, 0]
        orders.add(tuple(np.argsort(x)))
        places.append(x)
        assert np.diff(np.sort(x)).min() > 0.08
        assert np.diff(flat(simulation.marks())[:, 0]).tolist() == pytest.approx([0.12, 0.12])
    assert len(orders) == 6 and len(np.unique(places)) == 90


@pytest.mark.parametrize("task", ["pucks-blue-left", "pucks-yellow-right"])
def test_the_expert_brings_the_named_puck_to_the_named_mark_and_leaves_the_others(simulations, task: str) -> None:
    simulation = simulations[task]
    _, colour, place = task.split("-")
    for seed in range(4):
        simulation.reset(seed)
        before = simulation.places()
        while not simulation.success and simulation.steps < 120:
            simulation.step(simulation.expert_action())
        after = simulation.places()
        assert simulation.success
        assert np.linalg.norm(after[colour][:2] - simulation.marks()[place][:2]) < 0.05
        assert all(np.linalg.norm(after[other] - before[other]) < 0.01 for other in COLOURS if other != colour)


def test_a_snapshot_runs_on_as_the_run_did(simulations) -> None:
    simulation = simulations["pucks-yellow-right"]
    simulation.reset(5)
    for _ in range(20):
        simulation.step(simulation.expert_action())
    saved, ends = simulation.save(), []
    for _ in range(2):
        simulation.load(saved)
        for _ in range(20):
            simulation.step(simulation.expert_action())
        ends.append(np.append(flat(simulation.places()), simulation.state))
        simulation.reset(6)  # another episode between
    assert np.array_equal(*ends)


def test_a_knock_moves_the_puck_that_counts(simulations) -> None:
    simulation = simulations["pucks-yellow-right"]
    simulation.reset(7)
    before = simulation.places()
    simulation.disturb("knock", 0)
    after = simulation.places()
    moved = {colour: float(np.linalg.norm(after[colour] - before[colour])) for colour in COLOURS}
    assert moved.pop("yellow") == pytest.approx(0.05) and max(moved.values()) < 1e-6


def test_it_is_a_world_like_any_other() -> None:
    world = make_world("pucks", tasks=["pucks-green-middle", "push-v3"], num_envs=2)
    results = rollout(ExpertPolicy(world), world, world.tasks, [3, 3], max_steps=40)
    world.close()
    assert [result.success for result in results] == [True, True]
    assert results[0].instruction == "push the green puck onto the middle mark"
