"""Meta-World as a vector environment: exact, upright, marked, disturbed, parallel."""

import numpy as np
import pytest

from presage.errors import UserError
from presage.worlds import ALL_TASKS, MT10, ExpertPolicy, RandomPolicy, instructions, make_world, rollout
from presage.worlds.metaworld import project


@pytest.fixture(scope="module")
def world():
    """All of MT10, one environment each."""
    world = make_world("metaworld", tasks=MT10, num_envs=len(MT10))
    yield world
    world.close()


@pytest.fixture(scope="module")
def three():
    """Three environments, for push, drawer-open and window-close unless a reset says otherwise."""
    world = make_world("metaworld", tasks=["push-v3", "drawer-open-v3", "window-close-v3"], num_envs=3)
    yield world
    world.close()


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def wave(steps: int, count: int) -> np.ndarray:
    """Action chunks (steps, count, 4, 4) that move the hand about."""
    return np.random.default_rng(3).uniform(-1, 1, (steps, count, 1, 4)).repeat(4, axis=2).astype(np.float32)


def test_every_task_has_its_wordings():
    assert len(ALL_TASKS) == 50 and len(MT10) == 10
    wordings = [text for task in ALL_TASKS for text in instructions(task)]
    assert all(len(instructions(task)) >= 5 for task in ALL_TASKS)
    assert len(set(wordings)) == len(wordings)


def test_unknown_names_are_explained():
    with pytest.raises(UserError, match="drawer-open-v3"):
        make_world("metaworld", tasks=["draw-open-v3"])
    with pytest.raises(UserError, match="front, top, gripper"):
        make_world("metaworld", tasks=["push-v3"], cameras=["frnt"])
    with pytest.raises(UserError, match="metaworld"):
        make_world("habitat", tasks=["push-v3"])


def test_experts_succeed_on_mt10_and_random_does_not(world):
    seeds = [3] * len(MT10)
    results = rollout(ExpertPolicy(world), world, MT10, seeds, max_steps=60, record=True)
    assert [result.task for result in results if not result.success] == []
    first = results[0]
    assert first.frames["top"].shape == (first.steps + 1, 64, 64, 3)
    assert first.states.shape == (first.steps + 1, 4) and first.actions.shape == (first.steps, 4, 4)
    # Replaying what was recorded succeeds at the same step: the record is complete.
    world.reset(seed=seeds, options={"task": MT10})
    for step in range(first.steps):
        active = np.arange(len(MT10)) == 0
        chunks = np.broadcast_to(first.actions[step], (len(MT10), 4, 4))
        observation, _, terminated, _, info = world.step(chunks, active=active)
    assert terminated[0] and info["steps"][0] == 4 * first.steps and not info["steps"][1:].any()
    assert np.array_equal(observation["state"][0], first.states[-1])
    random = rollout(RandomPolicy((len(MT10), 4, 4)), world, MT10, seeds, max_steps=3)
    assert sum(result.success for result in random) == 0


def test_same_seed_same_episode_whatever_came_before(three):
    def run() -> list[dict[str, np.ndarray]]:
        observations = [three.reset(seed=[7, 8, 9])[0]]
        return observations + [three.step(chunk)[0] for chunk in wave(3, 3)]

    first = run()
    three.reset(seed=1, options={"task": ["drawer-open-v3", "push-v3", "push-v3"]})
    for chunk in wave(2, 3):
        three.step(chunk)
    assert all(equal(a, b) for a, b in zip(first, run(), strict=True))
    assert not np.array_equal(three.reset(seed=[70, 8, 9])[0]["image.front"][0], first[0]["image.front"][0])


def test_snapshots_and_the_expert_leave_no_trace(three):
    three.reset(seed=4)
    three.step(wave(1, 3)[0])
    saved = three.snapshot([0, 1, 2])
    chunk = three.expert_chunk()
    assert three.snapshot([0, 1, 2]) == saved
    futures = []
    for _ in range(2):
        three.restore([2, 0, 1], [saved[2], saved[0], saved[1]])
        futures.append([three.step(each)[0] for each in [chunk, *wave(3, 3)]])
    assert all(equal(a, b) for a, b in zip(*futures, strict=True))


def test_workers_see_what_one_process_sees(three):
    parallel = make_world("metaworld", tasks=three.tasks, num_envs=3, workers=2)
    try:
        assert equal(parallel.reset(seed=5)[0], three.reset(seed=5)[0])
        for chunk in wave(2, 3):
            active = np.array([True, False, True])
            assert equal(parallel.step(chunk, active)[0], three.step(chunk, active)[0])
        assert np.array_equal(parallel.expert_chunk(), three.expert_chunk())
        moved = parallel.restore([1], three.snapshot([0]))
        assert np.array_equal(moved["image.top"][1], moved["image.top"][0])
        assert parallel.step(wave(1, 3)[0])[-1]["task"] == ["push-v3", "push-v3", "window-close-v3"]
        with pytest.raises(UserError, match="knock"):
            parallel.disturb(0, "kick")
    finally:
        parallel.close()


def test_images_are_upright_and_the_hand_is_where_it_is_projected(three):
    start, _ = three.reset(seed=2, options={"task": ["reach-v3"] * 3})
    wall, table = start["image.front"][0, :6, -6:].mean((0, 1)), start["image.front"][0, -6:, 10:20].mean((0, 1))
    assert np.ptp(wall) < 20 < np.ptp(table)  # grey wall above, brown table below
    before = {camera: three.hand_pixels(camera) for camera in ("front", "top")}
    up = np.zeros((3, 4, 4), np.float32)
    up[..., 2] = 1.0
    for _ in range(3):
        three.step(up)
    for camera in ("front", "top"):
        assert (three.hand_pixels(camera)[:, 1] < before[camera][:, 1] - 2).all()  # rows count from the top
        column, row = three.hand_pixels(camera)[0].astype(int)
        assert three.masks()[camera][0, row - 5 : row + 6, column - 5 : column + 6].any()
    with pytest.raises(UserError, match="stand still"):
        project("gripper", np.zeros(3), 64)


@pytest.mark.parametrize("task", ["reach-v3", "push-v3", "pick-place-v3"])
def test_goal_marker_shows_and_hides(task):
    images = {}
    for show in (True, False):
        world = make_world("metaworld", tasks=[task], show_goal=show)
        images[show] = world.reset(seed=[11])[0]
        world.close()
    for camera in ("image.front", "image.top"):
        changed = np.abs(images[True][camera].astype(int) - images[False][camera]).max(-1) > 60
        assert 8 <= changed.sum() <= 60
        marker = images[True][camera][changed]
        assert (marker[:, 1].astype(int) > marker[:, 0]).all()  # green


@pytest.mark.parametrize("kind", ["knock", "move", "remove"])
def test_disturbances_move_the_object(three, kind):
    before, _ = three.reset(seed=6)
    for index in range(3):
        after = three.disturb(index, kind, seed=1)
        assert np.abs(after["image.top"][index].astype(int) - before["image.top"][index]).max() > 30
        assert np.array_equal(after["state"][index], before["state"][index])


def test_wrong_shapes_are_explained(three):
    with pytest.raises(UserError, match=r"expected \(3, 4, 4\)"):
        three.step(np.zeros((3, 16)))
    with pytest.raises(UserError, match="seed: 2 entries for 3"):
        three.reset(seed=[1, 2])
    fresh = make_world("metaworld", tasks=["push-v3"])
    with pytest.raises(UserError, match="never reset"):
        fresh.step(np.zeros((1, 4, 4)))
