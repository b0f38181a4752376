"""Collecting episodes: the recorded rows, and that a killed collection loses nothing and continues."""

import multiprocessing
import os
import signal
import time
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from tests.tiny import tiny_model

from presage.episodes.dataset import Dataset
from presage.episodes.spool import CALL, spooled_keys
from presage.errors import UserError
from presage.systems.perturbed import perturbed_from
from presage.training.checkpoint import save_model
from presage.worlds.behaviours import DYNAMICS, ERRING, PLAYED, Behaviours
from presage.worlds.collect import FEWEST_ROWS, collect, plan_episodes, record_episode
from presage.worlds.metaworld import Renderer, Simulation
from presage.worlds.world import find_world

TASKS = ["reach-v3", "drawer-close-v3"]


@pytest.mark.parametrize("behaviour", ["expert", "perturbed", "random", "shifted", "mistaken"])
def test_rows_follow_the_time_rule(behaviour):
    simulation, renderer = Simulation("reach-v3"), Renderer(("front",), 32, 1)
    episode = record_episode(simulation, renderer, 600_004, behaviour, Behaviours())
    again = record_episode(simulation, renderer, 600_004, behaviour, Behaviours())
    columns = episode.columns
    assert all(np.array_equal(columns[name], again.columns[name]) for name in columns)
    assert np.array_equal(episode.frames["front"], again.frames["front"])
    assert not columns["action.valid"][-1] and columns["action.valid"][:-1].all()
    assert not columns["action"][-1].any() and np.abs(columns["action"]).max() <= 1
    if behaviour == "expert":
        assert columns["quality"][:-1].all() and episode.info["success"]
        assert columns["next.success"].sum() == 6  # the chunk that reached it, four more, the last row
    else:
        assert 0 in columns["quality"][:-1]
    # Replaying the recorded chunks gives the recorded states: row t holds what is seen before chunk t.
    simulation.reset(600_004)
    for row in range(episode.length - 1):
        assert np.array_equal(simulation.state, columns["observation.state"][row])
        for action in columns["action"][row].reshape(4, 4):
            simulation.step(action)
        assert simulation.success == columns["next.success"][row]
    assert np.array_equal(simulation.state, columns["observation.state"][-1])


def test_an_episode_of_full_length_goes_on_after_success_and_is_no_example_there():
    simulation, renderer = Simulation("drawer-close-v3"), Renderer(("front",), 16, 1)
    lengths = []
    for behaviour in ("perturbed", "random"):
        episode = record_episode(simulation, renderer, 600_004, behaviour, Behaviours(full_length=True))
        lengths.append(episode.length)
        success, quality = episode.columns["next.success"], episode.columns["quality"]
        if behaviour == "perturbed":
            assert success[:-1].any()
            reached = int(success.argmax())
            assert quality[: reached + 1].any() and not quality[reached + 1 :].any()
    assert lengths == [60, 60]


def test_what_is_tried_leaves_the_recording_as_it_is_and_says_how_soon_the_expert_succeeds():
    simulation, renderer = Simulation("reach-v3"), Renderer(("front",), 16, 1)
    plain = record_episode(simulation, renderer, 600_004, "perturbed", Behaviours())
    tried = record_episode(simulation, renderer, 600_004, "perturbed", Behaviours(counterfactuals=3))
    assert all(np.array_equal(plain.columns[name], tried.columns[name]) for name in plain.columns)
    known, steps = tried.columns["counterfactual.action.valid"], tried.columns["counterfactual.steps"]
    at = int(known.argmax())
    assert known.tolist() == [row % 4 == at for row in range(len(known))]
    assert not steps[~known].any()
    after_success = np.flatnonzero(known)[-1]
    assert tried.columns["next.success"][after_success - 1] and (steps[after_success] >= 0).all()
    assert steps[at, 2] > 0
    for row in (at, after_success):
        assert steps[row, 2] == steps_after(simulation, tried.columns, row, tried=2)


def steps_after(simulation: Simulation, columns: dict[str, np.ndarray], row: int, tried: int) -> int:
    """What the expert needs after a chunk tried at `row` of seed 600004, run from the episode's beginning."""
    simulation.reset(600_004)
    for action in columns["action"][:row].reshape(-1, 4):
        simulation.step(action)
    simulation.success = False
    for action in columns["counterfactual.action"][row].reshape(3, 4, 4)[tried]:
        simulation.step(action)
    count = 0
    while not simulation.success:
        simulation.step(simulation.expert_action())
        count += 1
    return count


def test_shifted_chunks_are_the_experts_with_one_offset_each_and_go_on_after_success():
    simulation, renderer = Simulation("reach-v3"), Renderer(("front",), 16, 1)
    columns = record_episode(simulation, renderer, 600_004, "shifted", Behaviours()).columns
    assert len(columns["action"]) == 60 and columns["next.success"][:-1].any() and not columns["quality"].any()
    simulation.reset(600_004)
    offsets = []
    for chunk in columns["action"][:-1].reshape(-1, 4, 4):
        expert = []
        for action in chunk:
            expert.append(simulation.expert_action())
            simulation.step(action)
        free = ((np.abs(chunk) < 1) & (np.abs(expert) < 1)).all(0)  # clipping hides what was added
        apart = (chunk - expert)[:, free]
        assert np.allclose(apart, apart[:1], atol=1e-5)
        offsets += apart[0].tolist()
    assert len(offsets) > 50 and 0.3 < np.std(offsets) < 0.7


def test_planned_episodes_execute_what_a_search_chooses_from_what_is_recorded(tmp_path):
    checkpoint = save_model(tiny_model(), tmp_path / "model", "")
    policy = partial(perturbed_from, str(checkpoint))
    simulation, renderer = Simulation("reach-v3"), Renderer(("front", "top"), 32, 2)
    episode = record_episode(simulation, renderer, 600_004, "planned", Behaviours(planned=1), policy)
    columns, again = episode.columns, policy(600_004)
    again.reset([episode.instruction])
    assert episode.length > 5 and not columns["quality"].any()
    for row in range(5):
        seen = {f"image.{name}": frames[row : row + 1] for name, frames in episode.frames.items()}
        chunk = again.act({**seen, "state": columns["observation.state"][row : row + 1]})[0]
        assert np.array_equal(columns["action"][row], np.clip(chunk, -1, 1).ravel())


def test_planned_episodes_need_a_policy(tmp_path):
    with pytest.raises(UserError, match="planned: give the policy"):
        collect(tmp_path / "data", TASKS, 1, behaviours=Behaviours(planned=1))
    assert not list(tmp_path.iterdir())


def test_first_frames_are_of_their_own_task():
    """Tasks share one OpenGL context: the first image after a change of task must not go to the other's framebuffer."""
    renderer = Renderer(("front", "top"), 32, 1)
    simulations = [Simulation(task) for task in TASKS]

    def frames(simulation: Simulation) -> dict[str, np.ndarray]:
        return renderer.frames(simulation.xml_path, simulation.model, simulation.data, simulation.goal)

    first = [frames(simulation) for simulation in simulations]
    for _ in range(2):
        for simulation, expected in zip(simulations, first, strict=True):
            assert all(np.array_equal(image, expected[name]) for name, image in frames(simulation).items())


def test_plan_mixes_behaviours_with_training_seeds():
    jobs = plan_episodes(TASKS, 40, 1, Behaviours())
    assert len({job.seed for job in jobs}) == 80 and min(job.seed for job in jobs) == 1_600_000
    for task in TASKS:
        share = [sum(job.behaviour == name for job in jobs if job.task == task) for name in Behaviours().share()]
        assert np.abs(np.array(share) - (14, 20, 6, 0, 0, 0, 0, 0)).max() <= 1
    with pytest.raises(UserError, match="not all zero"):
        plan_episodes(TASKS, 1, 0, Behaviours(0, 0, 0))


def test_branches_are_planned_in_fours_of_one_moment():
    jobs = [job for job in plan_episodes(TASKS, 40, 1, DYNAMICS) if job.behaviour == "branch" and job.task == TASKS[0]]
    assert [job.branch for job in jobs[:8]] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert len({job.seed for job in jobs[:4]}) == 1 and jobs[4].seed != jobs[0].seed
    assert len({job.key for job in jobs}) == len(jobs)


@pytest.mark.parametrize("task", ["push-v3", "pusht"])
def test_branches_begin_in_one_moment_and_go_different_ways(task):
    world = find_world(task)
    simulation, renderer = world.simulation(task), world.renderer(("top",), 32, 1)
    one, two, again = (
        record_episode(simulation, renderer, 600_002, "branch", DYNAMICS, branch=branch) for branch in (0, 1, 0)
    )
    assert one.length == two.length == PLAYED["branch"] and one.info["branch"] == 0
    assert np.array_equal(one.frames["top"][0], two.frames["top"][0])
    assert np.array_equal(one.columns["observation.state"][0], two.columns["observation.state"][0])
    assert not np.array_equal(one.columns["action"], two.columns["action"])
    assert np.array_equal(one.frames["top"], again.frames["top"])


def test_play_is_nobodys_example_and_has_no_words(tmp_path):
    behaviours = Behaviours(expert=0, perturbed=0, random=0, play=1)
    collect(tmp_path / "data", ["pusht"], 1, size=16, workers=1, supersample=1, behaviours=behaviours)
    data = Dataset(tmp_path / "data")
    assert data.episodes[0].info["behaviour"] == "play" and not data.episodes[0].instruction
    assert FEWEST_ROWS < data.num_rows <= PLAYED["play"] and not data.column("quality").any()


def test_nobody_plays_where_a_world_has_no_player(tmp_path):
    with pytest.raises(UserError, match="fetch-push.*nobody plays in the world fetch"):
        collect(tmp_path / "data", ["fetch-push"], 1, behaviours=DYNAMICS)
    assert not list(tmp_path.iterdir())


def test_an_expert_that_errs_was_told_its_task_and_is_nobodys_example():
    simulation, renderer = Simulation("push-v3"), Renderer(("front",), 16, 1)
    episode = record_episode(simulation, renderer, 600_004, "mistaken", ERRING)
    assert episode.instruction and not episode.columns["quality"].any()


def test_nobody_errs_where_an_expert_cannot_be_misled(tmp_path):
    with pytest.raises(UserError, match="fetch-push.*makes no mistakes; leave out --mistakes"):
        collect(tmp_path / "data", ["fetch-push"], 1, behaviours=ERRING)
    assert not list(tmp_path.iterdir())


def collect_small(root: Path) -> None:
    collect(root, TASKS, 8, size=32, workers=1, supersample=1)


def test_killed_collection_continues(tmp_path):
    root, spool = tmp_path / "data", tmp_path / "data.partial"
    process = multiprocessing.get_context("spawn").Process(target=collect_small, args=(root,))
    process.start()
    deadline = time.monotonic() + 60
    while len(spooled_keys(spool)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    time.sleep(1.0)  # the worker ends with its parent
    kept = {key: (spool / key / "front.mp4").stat().st_mtime_ns for key in spooled_keys(spool)}
    assert 3 <= len(kept) < 16 and not root.exists()
    time.sleep(0.5)
    assert spooled_keys(spool) == kept.keys()
    with pytest.raises(UserError, match="another collection"):
        collect(root, TASKS, 1, seed=3, size=32)

    figures = collect(root, TASKS, 8, size=32, workers=1, supersample=1)
    assert figures["episodes"] == 16 - len(kept) and not spool.exists()
    dataset = Dataset(root)
    assert len(dataset.episodes) == 16 and sorted(dataset.cameras) == ["front", "top"]
    assert {episode.info["task"] for episode in dataset.episodes} == set(TASKS)
    assert dataset.column("action").shape == (dataset.num_rows, 16)
    with pytest.raises(UserError, match="exists already"):
        collect(root, TASKS, 8, size=32)


def test_a_collection_of_other_settings_does_not_go_on_with_the_episodes_of_one_that_was_killed(tmp_path, monkeypatch):
    root, spool = tmp_path / "data", tmp_path / "data.partial"
    asked = {"size": 16, "workers": 1, "supersample": 1, "behaviours": Behaviours(1, 0, 0), "made_of": {"planner": "a"}}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("presage.worlds.collect.write_dataset", Mock(side_effect=KeyboardInterrupt))
        collect(root, ["pusht"], 1, **asked)
    for change, said in (
        ({"size": 32}, "was begun with size 16, now it is 32; remove it or repeat that call"),
        ({"supersample": 2}, "supersample 1, now it is 2"),
        ({"behaviours": Behaviours(1, 0, 0, noise=0.1)}, "noise 0.3, now it is 0.1"),
        ({"made_of": {"planner": "b"}}, 'planner "a", now it is "b"'),
    ):
        with pytest.raises(UserError, match=said):
            collect(root, ["pusht"], 2, **asked | change)
    assert len(spooled_keys(spool)) == 1
    (spool / CALL).unlink()  # as an earlier version left it
    assert collect(root, ["pusht"], 1, **asked)["episodes"] == 0 and len(Dataset(root).episodes) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
