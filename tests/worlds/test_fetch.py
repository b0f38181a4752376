"""Fetch: three tasks, with exact snapshots and experts of our own."""

import numpy as np
import pytest

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.worlds import WORLDS, ExpertPolicy, make_world, rollout
from presage.worlds.collect import collect
from presage.worlds.fetch import LOOK, Renderer, Simulation
from presage.worlds.world import Snapshot

TASKS = list(WORLDS["fetch"])


@pytest.fixture(scope="module")
def simulations() -> dict[str, Simulation]:
    return {task: Simulation(task) for task in TASKS}


@pytest.fixture(scope="module")
def renderer():
    return Renderer(("front", "top"), 64, 2)


def everything(simulation: Simulation) -> np.ndarray:
    return np.concatenate([simulation.data.qpos, simulation.data.qvel, simulation.env.goal, simulation.state])


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_belongs_to_its_seed(simulations, task):
    simulation = simulations[task]
    simulation.reset(5)
    for _ in range(5):
        simulation.step(simulation.expert_action())
    first = everything(simulation)
    simulation.reset(6)
    for _ in range(7):
        simulation.step(np.array([1, -1, 0.3, 1]))
    simulation.reset(5)
    for _ in range(5):
        simulation.step(simulation.expert_action())
    assert np.array_equal(everything(simulation), first)


@pytest.mark.parametrize("task", TASKS)
def test_a_run_goes_on_from_its_snapshot_bit_for_bit(simulations, task):
    simulation = simulations[task]
    simulation.reset(1)
    for _ in range(9):  # pick and place: the cube is in the gripper
        simulation.step(simulation.expert_action())
    saved = simulation.save().to_bytes()
    runs = []
    for other in (simulation, Simulation(task)):
        other.load(Snapshot.from_bytes(saved))
        rng = np.random.default_rng(0)
        run = []
        for _ in range(40):
            other.step(other.expert_action() + rng.normal(0, 0.3, 4))
            run.append(everything(other))
        runs.append(np.array(run))
    assert np.array_equal(*runs)


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_solves_it(simulations, task):
    simulation = simulations[task]
    for seed in range(6):
        simulation.reset(seed)
        while not simulation.success and simulation.steps < 50:
            reward = simulation.step(simulation.expert_action())
        assert simulation.success and reward > -0.05


@pytest.mark.parametrize("kind", ["knock", "move"])
@pytest.mark.parametrize("task", TASKS)
def test_disturbances_move_the_cube_or_the_goal_and_the_expert_recovers(simulations, task, kind):
    simulation = simulations[task]
    simulation.reset(2)
    before = simulation.env.goal.copy() if task == "fetch-reach" else simulation.cube.copy()
    state = simulation.state
    simulation.disturb(kind, seed=3)
    after = simulation.env.goal if task == "fetch-reach" else simulation.cube
    assert 0.04 < np.linalg.norm(after - before) < 0.2 and np.array_equal(simulation.state, state)
    while not simulation.success and simulation.steps < 100:
        simulation.step(simulation.expert_action())
    assert simulation.success
    with pytest.raises(UserError, match="knock, move"):
        simulation.disturb("remove", 0)


def test_images_are_upright_and_mark_the_goal(simulations, renderer):
    simulation = simulations["fetch-pick-place"]
    simulation.reset(0)
    shown, hidden = simulation.frames(renderer), simulation.frames(renderer, show_goal=False)
    for camera in ("front", "top"):
        column, row = LOOK.project(camera, simulation.env.goal, 64)
        changed = np.argwhere(np.abs(shown[camera].astype(int) - hidden[camera]).max(-1) > 60)
        assert 6 <= len(changed) <= 60 and np.allclose(changed.mean(0), (row, column), atol=1.5)
        marker = shown[camera][tuple(changed.T)].astype(int)
        assert (marker[:, 1] > marker[:, 0]).all()  # green
        column, row = LOOK.project(camera, simulation.cube, 64).astype(int)
        red = shown[camera][row - 1 : row + 2, column - 1 : column + 2].astype(int).reshape(-1, 3).max(0)
        assert red[0] > red[1] + 50
        mask = simulation.masks(renderer)[camera]
        assert mask[row, column] and 20 < mask.sum() < 500
    # The hand goes up in the image when it goes up in the world.
    low = [LOOK.project(camera, simulation.hand, 64)[1] for camera in ("front", "top")]
    for _ in range(6):
        simulation.step(np.array([0, 0, 1.0, 0]))
    high = [LOOK.project(camera, simulation.hand, 64)[1] for camera in ("front", "top")]
    assert (np.array(high) < np.array(low) - 2).all()


def test_tasks_share_a_vector_environment_and_workers_see_the_same():
    worlds = [make_world("fetch", num_envs=3, workers=workers) for workers in (0, 2)]
    try:
        seen = [world.reset(seed=[7, 8, 9]) for world in worlds]
        assert seen[0][1]["task"] == TASKS
        chunks = worlds[0].expert_chunk()
        for world in worlds:
            seen.append(world.step(chunks, active=np.array([True, True, False])))
        for one, other in ((seen[0], seen[1]), (seen[2], seen[3])):
            assert all(np.array_equal(one[0][key], other[0][key]) for key in ("image.front", "image.top", "state"))
        results = rollout(ExpertPolicy(worlds[0]), worlds[0], TASKS, [1, 2, 3], max_steps=12)
        assert all(result.success for result in results)
    finally:
        for world in worlds:
            world.close()


def test_meta_world_and_fetch_fit_together():
    """Both move a hand by four numbers; each keeps its own limit of steps."""
    world = make_world("metaworld", tasks=["drawer-close-v3", "fetch-push"], num_envs=2)
    results = rollout(ExpertPolicy(world), world, ["drawer-close-v3", "fetch-push"], [3, 3], max_steps=30)
    assert all(result.success for result in results)
    world.reset(seed=0)
    for _ in range(13):
        _, _, _, truncated, info = world.step(np.zeros((2, 4, 4)))
    assert truncated.tolist() == [False, True] and info["steps"].tolist() == [52, 52]


def test_a_collected_dataset_reads_back(tmp_path):
    collect(tmp_path / "data", TASKS, 2, size=32, workers=1)
    dataset = Dataset(tmp_path / "data")
    assert len(dataset.episodes) == 6 and sorted(dataset.cameras) == ["front", "top"] and dataset.fps == 6.25
    assert {episode.info["task"] for episode in dataset.episodes} == set(TASKS)
    assert dataset.column("action").shape == (dataset.num_rows, 16)


def test_a_cube_that_fell_off_the_table_is_put_back_onto_it(simulations):
    simulation = simulations["fetch-push"]
    simulation.reset(5)
    resting = simulation.data.joint("object0:joint").qpos.copy()
    simulation.data.joint("object0:joint").qpos[:3] = (3.0, 3.0, 0.0)
    simulation.disturb("move", 0)
    put = simulation.data.joint("object0:joint").qpos
    assert np.linalg.norm(put[:2] - resting[:2]) < 0.4 and put[2] == pytest.approx(resting[2], abs=0.01)
