"""Play: the hand meets things, from all sides, and everything follows from the seed."""

import numpy as np
import pytest

from presage.systems.lab.play import HIGH, LOW, MANOEUVRES, Player, things
from presage.worlds.metaworld import Simulation


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
