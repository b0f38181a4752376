"""Record episodes of scripted experts, good and disturbed ones, as a LeRobot dataset.

One row is one model step: what the cameras and the hand show, and the chunk of four environment steps executed after
it. Every episode depends on its (task, seed) alone, is recorded by one worker process and spooled as soon as it is
whole, so a killed collection continues where it was when the same call is repeated.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Any

import numpy as np

from presage.episodes.episode import Episode
from presage.episodes.spool import begun_alike, spool_episode, spooled_keys
from presage.episodes.writer import write_dataset
from presage.errors import UserError
from presage.worlds.behaviours import (
    BRANCHES,
    CHUNK,
    PLAYED,
    TRY_EVERY,
    Behaviours,
    Driver,
    counterfactual_columns,
)
from presage.worlds.instructions import check_task, draw_instruction
from presage.worlds.mistakes import Mistaken
from presage.worlds.protocol import Policy
from presage.worlds.seeds import FIRST_TRAINING_SEED
from presage.worlds.world import Player, World, check_camera, common_world, find_world

SEEDS_PER_COLLECTION = 1_000_000
MAX_ROWS = 60
ROWS_AFTER_SUCCESS = 4
FEWEST_ROWS = 8
"""Of an episode of play, which ends when nothing is left within reach"""

MakePolicy = Callable[[int], Policy]
"""Seed -> the policy that drives one episode; it goes to worker processes, so it must be picklable."""


def record_episode(
    simulation: Any,
    renderer: Any,
    seed: int,
    behaviour: str,
    settings: Behaviours,
    policy: MakePolicy | None = None,
    branch: int | None = None,
) -> Episode:
    """Run and record one episode of `simulation` with a renderer of its world. `policy` drives it if it is `planned`,
    the world's player if it is played; `branch` is its number among those that begin in the same moment."""
    simulation.reset(seed)
    world = find_world(simulation.task)
    driver = Driver(behaviour, seed, settings, world)
    limit = PLAYED.get(behaviour, MAX_ROWS)
    player: Player | None = None
    if behaviour in PLAYED:
        assert world.player is not None
        player = world.player(simulation, seed, branch)
    elif behaviour == "mistaken":
        player = Mistaken(simulation, seed, world)
    if behaviour == "random" and not settings.full_length:
        limit = min(MAX_ROWS, settings.random_rows + driver.expert_chunks)
    frames: dict[str, list[np.ndarray]] = {name: [] for name in renderer.cameras}
    states, actions, quality, success = [], [], [], []
    tried: list[tuple[np.ndarray, np.ndarray]] = []
    success_row: int | None = None  # first row that shows the success
    ends = behaviour in ("expert", "perturbed", "planned", "mistaken") and not settings.full_length
    instruction = "" if behaviour in PLAYED else draw_instruction(simulation.task, seed)  # nobody was told to play
    driving: Policy | None = None
    if behaviour == "planned":
        assert policy is not None
        driving = policy(seed)
        driving.reset([instruction])
    for row in range(limit):
        for name, image in simulation.frames(renderer).items():
            frames[name].append(image)
        states.append(simulation.state)
        if simulation.success and success_row is None:
            success_row = row
        if settings.counterfactuals:
            try_here = row % TRY_EVERY == driver.first_try
            tried.append(driver.counterfactuals(simulation, settings.counterfactuals if try_here else 0))
        done = ends and success_row is not None and row == success_row + ROWS_AFTER_SUCCESS
        done = done or (player is not None and player.lost and row >= FEWEST_ROWS)
        chunk = np.zeros((CHUNK, world.action_size), np.float32)
        if done or row == limit - 1:  # nothing is executed after the last frame
            actions.append(chunk.ravel())
            quality.append(0.0)
            success.append(simulation.success)
            break
        clean = driver.next_chunk(row) == 1.0
        if driving is not None:
            seen = {f"image.{name}": images[-1][None] for name, images in frames.items()}
            chunk[:] = np.clip(driving.act({**seen, "state": states[-1][None]})[0], -1.0, 1.0)
        for step in range(CHUNK):
            if player is not None:
                chunk[step] = player.action()
            elif driving is None:
                expert = simulation.expert_action()
                chunk[step] = expert if clean else driver.disturb(expert)
            simulation.step(chunk[step])
        quality.append(float(clean and (success_row is None or not settings.full_length)))
        actions.append(chunk.ravel())
        success.append(simulation.success)
    columns = {
        "observation.state": np.stack(states),
        "action": np.stack(actions),
        "action.valid": np.arange(len(actions)) < len(actions) - 1,
        "quality": np.array(quality, np.float32),
        "next.success": np.array(success, bool),
    }
    if settings.counterfactuals:
        columns |= counterfactual_columns(tried, settings.counterfactuals, world.action_size)
    return Episode(
        frames={name: np.stack(images) for name, images in frames.items()},
        columns=columns,
        instruction=instruction,
        info={
            "task": simulation.task,
            "seed": seed,
            "behaviour": behaviour,
            "success": bool(simulation.success),
            **({} if branch is None else {"branch": branch}),
        },
    )


@dataclass(frozen=True)
class _Job:
    task: str
    seed: int
    behaviour: str
    branch: int | None = None

    @property
    def key(self) -> str:
        branch = "" if self.branch is None else str(self.branch)
        return f"{self.seed:010d}-{self.task}-{self.behaviour}{branch}"


def plan_episodes(tasks: Sequence[str], episodes_per_task: int, seed: int, behaviours: Behaviours) -> list[_Job]:
    """The episodes of a collection: tasks take turns, and any few in a row have the wished mix of behaviours."""
    share = behaviours.share()
    total = sum(share.values())
    if min(share.values()) < 0 or total <= 0:
        raise UserError(f"behaviours {share}: shares must not be negative and not all zero")
    bounds = np.cumsum(list(share.values())) / total
    jobs: list[_Job] = []
    branching: dict[str, list[_Job]] = {task: [] for task in tasks}
    for episode in range(episodes_per_task):
        u = (episode + 0.5) * 0.6180339887498949 % 1.0  # golden ratio: evenly spread for every number of episodes
        behaviour = list(share)[int(np.searchsorted(bounds, u, side="right"))]
        for task in tasks:
            job = _Job(task, FIRST_TRAINING_SEED + seed * SEEDS_PER_COLLECTION + len(jobs), behaviour)
            if behaviour == "branch":
                branch = len(branching[task]) % BRANCHES
                first = branching[task][-branch] if branch else job  # the moment is that of the first one's seed
                job = replace(job, seed=first.seed, branch=branch)
                branching[task].append(job)
            jobs.append(job)
    return jobs


@cache
def simulation_of(task: str) -> Any:
    """Of this worker process: building one takes half a second."""
    return find_world(task).simulation(task)


@cache
def renderer_of(world: World, cameras: tuple[str, ...], size: int, supersample: int) -> Any:
    return world.renderer(cameras, size, supersample)


def start_worker() -> None:
    """End with the parent, even when it is killed: a worker would wait for its next episode for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run_job(
    job: _Job,
    spool: str,
    cameras: tuple[str, ...],
    size: int,
    supersample: int,
    settings: Behaviours,
    policy: MakePolicy | None,
) -> tuple[int, bool]:
    """Record and spool one episode in a worker; returns its rows and whether it succeeded."""
    world = find_world(job.task)
    renderer = renderer_of(world, cameras, size, supersample)
    episode = record_episode(simulation_of(job.task), renderer, job.seed, job.behaviour, settings, policy, job.branch)
    spool_episode(Path(spool), job.key, episode, world.control_hz / CHUNK)
    return episode.length, bool(episode.info["success"])


def collect(
    root: str | Path,
    tasks: Sequence[str],
    episodes_per_task: int,
    seed: int = 0,
    cameras: tuple[str, ...] | None = None,
    size: int = 64,
    workers: int = 2,
    behaviours: Behaviours | None = None,
    supersample: int = 2,
    policy: MakePolicy | None = None,
    made_of: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, float]:
    """Record `episodes_per_task` episodes of every task into the dataset `root`; continues a killed call.

    The tasks decide the world; `cameras` are its own choice where not given. `policy` drives `planned` episodes.
    made_of: what else episodes depend on, such as the policy's weights; a call that goes on has to say the same.

    Returns figures of this call: episodes, rows, frames (rows x cameras), seconds, rows_per_s, frames_per_s and the
    success rate. Raises `UserError` for unknown tasks and cameras, tasks whose worlds do not fit into one dataset, an
    existing `root`, an unwritable folder and a spool whose episodes a call of other settings recorded.
    """
    from tqdm import tqdm

    root, settings = Path(root), behaviours or Behaviours()
    spool = root.with_name(root.name + ".partial")
    for task in tasks:
        check_task(task)
    for name, value in (
        ("tasks", len(tasks)),
        ("episodes", episodes_per_task),
        ("size", size),
        ("workers", workers),
    ):
        if value < 1:
            raise UserError(f"{name}: {value} is not enough; give at least 1")
    if settings.planned and policy is None:
        raise UserError("behaviour planned: give the policy that drives it")
    for task in tasks:
        if (settings.play or settings.branch) and find_world(task).player is None:
            raise UserError(f"task {task!r}: nobody plays in the world {find_world(task).name}; leave out --play")
        if settings.mistaken and find_world(task).misled is None:
            raise UserError(
                f"task {task!r}: the expert of {find_world(task).name} makes no mistakes; leave out --mistakes"
            )
    worlds = common_world(tasks, same=("robot", "action_size", "state_size", "control_hz"))
    cameras = worlds[0].default_cameras if cameras is None else cameras
    for camera in cameras:
        check_camera(camera, worlds[0].cameras)
    if root.exists():
        raise UserError(f"{root}: exists already; choose another folder or remove it")
    jobs = plan_episodes(tasks, episodes_per_task, seed, settings)
    done = spooled_keys(spool)
    foreign = done - {job.key for job in jobs}
    if foreign:
        raise UserError(
            f"{spool}: holds episodes of another collection ({min(foreign)}); remove it or repeat that call"
        )
    asked = {**made_of, **asdict(settings), "cameras": cameras, "size": size, "supersample": supersample}
    begun_alike(spool, asked)  # one of an earlier version, which does not say, goes on as it always did
    todo = [job for job in jobs if job.key not in done]

    start, rows, successes = monotonic(), 0, 0
    context = multiprocessing.get_context("spawn")
    view = (str(spool), tuple(cameras), size, supersample, settings, policy)
    with (
        tqdm(total=len(jobs), initial=len(done), unit="episode", desc=f"collect {root.name}", smoothing=0.05) as bar,
        ProcessPoolExecutor(min(workers, max(1, len(todo))), context, initializer=start_worker) as pool,
    ):
        futures = [pool.submit(_run_job, job, *view) for job in todo]
        try:
            for future in as_completed(futures):
                length, success = future.result()
                rows, successes = rows + length, successes + success
                rate = rows * len(cameras) / (monotonic() - start)
                bar.set_postfix_str(
                    f"{rate:.0f} frames/s, success {successes / (bar.n - len(done) + 1):.0%}", refresh=False
                )
                bar.update()
        except BrokenProcessPool as error:
            raise UserError(
                f"{spool}: a worker process died; repeat the call to continue, with fewer workers"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    write_dataset(spool, root, fps=worlds[0].control_hz / CHUNK, robot_type=worlds[0].robot)
    seconds = monotonic() - start
    return {
        "episodes": len(todo),
        "rows": rows,
        "frames": rows * len(cameras),
        "seconds": seconds,
        "rows_per_s": rows / seconds,
        "frames_per_s": rows * len(cameras) / seconds,
        "success": successes / max(1, len(todo)),
    }
