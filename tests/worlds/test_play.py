"""Play: the hand meets things, from all sides, and everything follows from the seed."""

import numpy as np
import pytest

from presage.worlds.metaworld import Simulation
from presage.worlds.play import HIGH, LOW, MANOEUVRES, Player, begin, mistaken_expert, things


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation("push-v3")


def play(simulation: Simulation, seed: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Actions (steps, 4), and where the puck was after each (steps, 3)."""
    simulation.reset(400_000 + seed)
    player = Player(simulation, seed)
    actions, places = [], []
    for _ in range(steps):
        actions.append(player.action())
        simulation.step(actions[-1])
        places.append(things(simulation)[0])
    return np.stack(actions), np.stack(places)


def test_things_are_what_can_be_touched(simulation: Simulation) -> None:
    simulation.reset(400_000)
    assert things(simulation).shape == (1, 3)
    assert np.array_equal(things(simulation)[0], simulation.observation[4:7])


def test_the_same_seed_plays_the_same_and_another_differs(simulation: Simulation) -> None:
    one, again, other = (play(simulation, seed, 60)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert one.dtype == np.float32 and np.abs(one).max() <= 1


def test_the_puck_is_moved_in_most_episodes_and_not_only_forward(simulation: Simulation) -> None:
    ways = [places[-1, :2] - places[0, :2] for _, places in (play(simulation, seed, 200) for seed in range(6))]
    moved = np.array([way for way in ways if np.linalg.norm(way) > 0.02])
    assert len(moved) >= 4
    assert (moved > 0.01).any(0).all() and (moved < -0.01).any(0).all()  # left and right, to and fro


@pytest.mark.parametrize("name", [name for name in MANOEUVRES if name != "expert"])
def test_a_manoeuvre_is_a_row_of_waypoints_near_the_thing(simulation: Simulation, name: str) -> None:
    player, thing = Player(simulation, 0), np.array([0.0, 0.6, 0.02])
    for _ in range(20):
        points = getattr(player, f"_{name}")(thing)
        near = [np.linalg.norm(np.clip(point, LOW, HIGH) - thing) for point, _, _ in points]
        assert min(near) < (0.5 if name == "wander" else 0.16)
        assert all(gripper in (-1.0, 1.0) and 0 <= wait < 12 for _, gripper, wait in points)


def test_play_begins_with_things_anywhere_on_the_table(simulation: Simulation) -> None:
    spots = []
    for seed in range(12):
        simulation.reset(400_000)  # the task puts the puck at the same place each time
        begin(simulation, seed)
        spots.append(simulation.thing)
    spread = np.array(spots)
    assert np.ptp(spread[:, 0]) > 0.3 and np.ptp(spread[:, 1]) > 0.15
    assert (spread[:, 2] > 0).all() and (spread[:, 2] < 0.06).all()


def glide(simulation: Simulation, rng: np.random.Generator | None) -> float:
    """Metres that the puck goes on after it was given half a metre a second."""
    simulation.reset(400_000)
    if rng is not None:
        simulation.vary(rng)
    dof = simulation.model.jnt_dofadr[simulation.object_joint()]
    before = simulation.thing.copy()
    simulation.data.qvel[dof] = 0.5
    for _ in range(20):
        simulation.step(np.zeros(4))
    return float(np.linalg.norm((simulation.thing - before)[:2]))


def test_what_is_varied_moves_otherwise_and_a_reset_undoes_it(simulation: Simulation) -> None:
    usual = glide(simulation, None)
    varied = [glide(simulation, np.random.default_rng(seed)) for seed in range(5)]
    assert max(varied) > 2 * usual
    assert glide(simulation, None) == usual


def test_what_is_varied_is_part_of_a_snapshot(simulation: Simulation) -> None:
    simulation.reset(400_000)
    simulation.vary(np.random.default_rng(1))
    friction, snapshot = simulation.model.geom_friction.copy(), simulation.save()
    simulation.reset(400_001)
    assert not np.array_equal(simulation.model.geom_friction, friction)
    simulation.load(snapshot)
    assert np.array_equal(simulation.model.geom_friction, friction)


def test_nothing_is_left_where_the_puck_is_off_the_table(simulation: Simulation) -> None:
    simulation.reset(400_000)
    player = begin(simulation, 1)
    assert not player.lost
    simulation.disturb("remove", 0)
    assert player.lost


@pytest.mark.parametrize("task", ["push-v3", "drawer-open-v3"])
def test_somebody_puts_the_thing_elsewhere(task: str) -> None:
    simulation = Simulation(task)
    for seed in range(4):
        simulation.reset(400_000)
        before = simulation.thing.copy()
        Player(simulation, seed, {"meddle": 1.0}).action()
        assert np.linalg.norm(simulation.thing - before) > 0.03
    simulation.reset(400_000)
    np.testing.assert_allclose(simulation.thing, before)  # and a reset puts it back


def test_what_fell_off_the_table_is_put_back_onto_it(simulation: Simulation) -> None:
    simulation.reset(400_000)
    simulation.disturb("remove", 0)
    simulation.disturb("move", 0)
    assert abs(simulation.thing[0]) < 0.3 and 0.4 < simulation.thing[1] < 1.0 and simulation.thing[2] > 0


def test_a_mistaken_expert_goes_beside_the_puck_and_leaves_what_is_observed(simulation: Simulation) -> None:
    simulation.reset(400_000)
    acts, seen = mistaken_expert(simulation, np.array([0.1, 0.0, 0.0])), simulation.observation.copy()
    next(acts)
    assert np.array_equal(simulation.observation, seen)
    for _ in range(25):
        simulation.step(next(acts))
    aside = simulation.state[0] - simulation.thing[0]
    assert 0.05 < aside < 0.15
