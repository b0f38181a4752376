"""Simulators are gymnasium's vector environments: its own checks, and what its own environments refuse."""

import os
import signal

import numpy as np
import pytest
from tests.worlds import contract

from presage.errors import UserError
from presage.worlds import make_world


@pytest.mark.parametrize("workers", [0, 2])
def test_push_t_keeps_the_contract(workers):
    contract.check_vector_env(make_world("pusht", num_envs=3, size=32, workers=workers))


@pytest.mark.parametrize(
    ("world", "tasks"),
    [("metaworld", ["reach-v3", "drawer-open-v3"]), ("fetch", ["fetch-reach", "fetch-push"])],
)
def test_mujoco_keeps_the_contract(world, tasks):
    contract.check_vector_env(make_world(world, tasks=tasks, num_envs=3, size=32))


@pytest.mark.parametrize("task", ["pusht", "reach-v3", "fetch-push"])
def test_gymnasiums_checker_finds_nothing(task):
    world = make_world(task, size=32)
    contract.check_single_env(world)
    world.close()


def test_an_environment_draws_its_next_seeds_whatever_is_reset_beside_it():
    world, alone = make_world("pusht", num_envs=3, size=16), np.array([False, True, False])
    world.reset(seed=5)
    together = [world.reset()[0]["state"][1] for _ in range(3)]
    world.reset(seed=5)
    assert np.array_equal([world.reset(options={"reset_mask": alone})[0]["state"][1] for _ in range(3)], together)
    world.np_random = np.random.default_rng(3)
    fresh = [make_world("pusht", num_envs=2, size=16) for _ in range(3)]
    for each in fresh[:2]:
        each.np_random = np.random.default_rng(3)
    first, same, other = (each.reset()[0]["state"] for each in fresh)
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_a_partial_reset_changes_the_task_of_its_rows_alone():
    world = make_world("fetch", tasks=["fetch-reach", "fetch-push"], num_envs=2, size=16)
    world.reset(seed=1)
    options = {"task": ["fetch-pick-place", "fetch-pick-place"], "reset_mask": np.array([True, False])}
    assert world.reset(seed=1, options=options)[1]["task"] == ["fetch-pick-place", "fetch-push"]
    with pytest.raises(UserError, match="unknown task 'fetch-pull'"):
        world.reset(options={"task": ["fetch-pull", "fetch-push"]})
    _, info = world.reset(options={"task": ["fetch-reach", "fetch-pull"], "reset_mask": np.array([True, False])})
    assert info["task"] == ["fetch-reach", "fetch-push"]  # what is not reset needs no task


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_envs": 0}, "num_envs: 0 is not enough"),
        ({"tasks": "pusht"}, r"tasks: 'pusht' is a text; give a list, \['pusht'\]"),
        ({"tasks": ["pusht", "push-t"]}, "unknown task 'push-t': did you mean"),
        ({"tasks": ["pusht", 3]}, "unknown task 3"),
        ({"size": 0}, "size: 0"),
        ({"supersample": 0}, "supersample: 0"),
        ({"chunk": -1}, "chunk: -1"),
        ({"workers": -1}, "workers: -1"),
    ],
)
def test_worlds_that_cannot_be_made_are_one_line(settings, message):
    with pytest.raises(UserError, match=message):
        make_world("pusht", **settings)


def test_the_same_task_twice_is_two_environments_of_it():
    world = make_world("pusht", tasks=["pusht", "pusht"], num_envs=3, size=16)
    assert world.reset(seed=0)[1]["task"] == ["pusht"] * 3


@pytest.mark.parametrize("when", ["before a call", "during a call"])
def test_a_worker_that_dies_is_one_line_and_no_hang(when):
    world = make_world("pusht", num_envs=2, size=16, workers=2)
    world.reset(seed=0)
    process = world._processes[1]
    if when == "during a call":
        os.kill(process.pid, signal.SIGSTOP)  # it takes the call, and will not answer
        world._connections[1].send(("snapshot", ([1],)))
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(UserError, match=r"a worker process of the world died \(exit code -9\)"):
        world.step(world.action_space.sample())
    with pytest.raises(UserError, match="closed"):
        world.reset(seed=0)
    assert not process.is_alive()


def test_an_error_in_a_worker_leaves_the_world_usable():
    world = make_world("pusht", num_envs=2, size=16, workers=2)
    world.reset(seed=0)
    with pytest.raises(UserError, match="unknown disturbance 'kick'"):
        world.disturb(1, "kick")
    assert world.step(world.action_space.sample())[-1]["steps"].tolist() == [4, 4]
    world.close()
