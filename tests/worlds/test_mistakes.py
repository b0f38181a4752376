"""Experts that err: each mistake does what its name says, to nothing but what it should."""

import numpy as np
import pytest

from presage.worlds import mistakes
from presage.worlds.metaworld import WORLD, Simulation
from presage.worlds.mistakes import MISTAKES, Mistaken

STEPS = 60
SEED = 600_000


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation("push-v3")


def erring(simulation: Simulation, mistake: str, seed: int = SEED, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """What an expert of one mistake does (T, A), and what the expert would have done at each step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mistakes, "MISTAKES", {mistake: 1.0})
        simulation.reset(seed)
        mistaken = Mistaken(simulation, seed, WORLD)
    done, right = [], []
    for _ in range(steps):
        right.append(simulation.expert_action())
        done.append(mistaken.action())
        simulation.step(done[-1])
    return np.stack(done), np.stack(right)


def test_their_shares_are_a_whole() -> None:
    assert sum(MISTAKES.values()) == pytest.approx(1)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_episode_follows_from_its_seed_and_is_not_the_experts(simulation: Simulation, mistake: str) -> None:
    done, right = erring(simulation, mistake)
    again, _ = erring(simulation, mistake)
    other, _ = erring(simulation, mistake, SEED + 1)
    assert np.array_equal(done, again) and not np.array_equal(done, other)
    assert done.dtype == np.float32 and np.abs(done).max() <= 1
    assert not np.allclose(done, right)


@pytest.mark.parametrize("mistake", ["drifts", "slow", "shakes"])
def test_these_leave_the_gripper_alone(simulation: Simulation, mistake: str) -> None:
    done, right = erring(simulation, mistake)
    assert np.array_equal(done[:, -1], right[:, -1])


def test_a_grip_is_all_that_is_wrong_with_it(simulation: Simulation) -> None:
    done, right = erring(simulation, "grip")
    assert np.array_equal(done[:, :-1], right[:, :-1])


def test_a_drift_is_the_same_all_along(simulation: Simulation) -> None:
    done, right = erring(simulation, "drifts")
    free = (np.abs(done[:, :-1]) < 1).all(1)  # what is clipped drifts less
    added = (done - right)[free]
    assert len(added) > 5 and np.allclose(added, added[0], atol=1e-6)


def test_who_is_late_does_nothing_at_first(simulation: Simulation) -> None:
    whole = 0
    for seed in range(SEED, SEED + 6):
        done, right = erring(simulation, "late", seed, steps=16)
        waits = int((done == 0).all(1).sum())
        if waits:  # else it is the gripper alone that is late
            whole += 1
            assert np.array_equal(done[waits:], right[: 16 - waits])
    assert whole


def test_the_misled_mostly_fail_where_the_expert_succeeds(simulation: Simulation) -> None:
    ended = []
    for seed in range(SEED, SEED + 8):
        erring(simulation, "misled", seed, steps=160)
        ended.append(simulation.success)
    assert sum(ended) <= 5


def test_who_is_misled_sees_the_truth_again_afterwards(simulation: Simulation) -> None:
    simulation.reset(SEED)
    before = simulation.observation.copy()
    next(WORLD.misled(simulation, np.random.default_rng(0)))  # type: ignore[misc]
    assert np.array_equal(simulation.observation, before)
