"""Record the datasets of the lab: `presage collect`'s episodes, with three things added.

No start is far (see `starts.is_far`). A demonstration that failed is recorded again from the next start, as a person
would. And every row has the place of the object in `observation.environment_state`: goals and verdicts read it, no
model does.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np

from presage.episodes.episode import Episode
from presage.episodes.spool import spool_episode, spooled_keys
from presage.episodes.writer import write_dataset
from presage.errors import UserError
from presage.systems.lab.starts import is_far
from presage.worlds import pusht_play
from presage.worlds.behaviours import Behaviours
from presage.worlds.collect import (
    CHUNK,
    SEEDS_PER_COLLECTION,
    record_episode,
    renderer_of,
    simulation_of,
    start_worker,
)
from presage.worlds.play import Player, things
from presage.worlds.scripted import Scripted
from presage.worlds.seeds import FIRST_TRAINING_SEED
from presage.worlds.world import find_world

OBJECT = "observation.environment_state"
"""Column (T, 3): metres, where the object is, or the handle or button of a fixture; of Push-T the block's x and y in
pixels of the arena and its angle. LeRobot's name for what a simulator knows and a robot does not."""
TRIES = 32
"""Seeds of one episode: the first that fits is recorded."""


@dataclass(frozen=True)
class Recording:
    """What is recorded, and how it is shown.

    behaviour: expert (ends soon after success; failures are recorded again), perturbed (an expert whose actions are
    disturbed in bursts; 60 rows), play (`player_of`; 60 rows, no instruction).
    collection: its million of seeds among all that presage records.
    """

    tasks: tuple[str, ...]
    behaviour: Literal["expert", "perturbed", "play"]
    episodes: int  # of each task
    collection: int
    cameras: tuple[str, ...] = ("front", "top")
    size: int = 64
    supersample: int = 2


@dataclass(frozen=True)
class Job:
    """One episode: `TRIES` seeds from `seed` on are its own."""

    task: str
    number: int
    seed: int

    @property
    def key(self) -> str:
        return f"{self.number:05d}-{self.task}"


def plan(recording: Recording) -> list[Job]:
    """The episodes of a dataset; tasks take turns."""
    first = FIRST_TRAINING_SEED + recording.collection * SEEDS_PER_COLLECTION
    tasks = [task for _ in range(recording.episodes) for task in recording.tasks]
    return [Job(task, number, first + number * TRIES) for number, task in enumerate(tasks)]


def player_of(simulation: Any, seed: int) -> Scripted:
    """Who plays with what there is at a start."""
    block = find_world(simulation.task).name == "pusht"
    return pusht_play.Player(simulation, seed) if block else Player(simulation, seed)


def place_of(simulation: Any) -> np.ndarray:
    """(3,) float32 as in `OBJECT`."""
    block = find_world(simulation.task).name == "pusht"
    return np.asarray(simulation.block[:3] if block else things(simulation)[0], np.float32)


class Watched:
    """A simulation whose object is noted whenever it is looked at, and which is maybe driven by a player."""

    def __init__(self, simulation: Any, plays: bool) -> None:
        self.simulation, self.plays = simulation, plays
        self.places: list[np.ndarray] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.simulation, name)

    def reset(self, seed: int) -> None:
        self.simulation.reset(seed)
        self.player = player_of(self.simulation, seed)
        self.places = []

    def frames(self, renderer: Any) -> dict[str, np.ndarray]:
        self.places.append(place_of(self.simulation))
        return self.simulation.frames(renderer)

    def expert_action(self) -> np.ndarray:
        return self.player.action() if self.plays else self.simulation.expert_action()


def record(recording: Recording, job: Job) -> Episode:
    """The episode of a job: of its seeds the first whose start is near, and with which a demonstration succeeds.

    Raises:
        UserError: there is none among its seeds.
    """
    simulation, plays = simulation_of(job.task), recording.behaviour == "play"
    renderer = renderer_of(find_world(job.task), recording.cameras, recording.size, recording.supersample)
    watched = Watched(simulation, plays)
    settings = Behaviours(full_length=recording.behaviour != "expert")
    for seed in range(job.seed, job.seed + TRIES):
        simulation.reset(seed)
        if is_far(simulation):
            continue
        episode = record_episode(watched, renderer, seed, "expert" if plays else recording.behaviour, settings)
        if recording.behaviour == "expert" and not episode.info["success"]:
            continue
        columns = episode.columns | {OBJECT: np.stack(watched.places)}
        if plays:  # nobody's example, and nobody was told anything
            columns["quality"] = np.zeros(episode.length, np.float32)
            return replace(episode, columns=columns, instruction="", info=episode.info | {"behaviour": "play"})
        return replace(episode, columns=columns)
    raise UserError(f"{job.task}: no episode succeeded among seeds {job.seed} to {job.seed + TRIES - 1}")


def _run(recording: Recording, job: Job, spool: str) -> int:
    """Record and spool one episode in a worker; returns its rows."""
    episode = record(recording, job)
    spool_episode(Path(spool), job.key, episode, find_world(job.task).control_hz / CHUNK)
    return episode.length


def write_recording(recording: Recording, root: Path, workers: int = 2) -> dict[str, float]:
    """Record a dataset into the new folder `root`; a call that was killed continues when it is repeated.

    Returns: rows and seconds of this call, and rows_per_s.

    Raises:
        UserError: a worker process died, or nothing can be written there.
    """
    from tqdm import tqdm

    spool = root.with_name(f"{root.name}.partial")
    jobs = plan(recording)
    done = spooled_keys(spool)
    todo = [job for job in jobs if job.key not in done]
    begin, rows = monotonic(), 0
    context = multiprocessing.get_context("spawn")  # a forked process cannot use its parent's OpenGL context
    with (
        tqdm(total=len(jobs), initial=len(done), unit="episode", desc=root.name, smoothing=0.05) as bar,
        ProcessPoolExecutor(min(workers, max(1, len(todo))), context, initializer=start_worker) as pool,
    ):
        futures = [pool.submit(_run, recording, job, str(spool)) for job in todo]
        try:
            for future in as_completed(futures):
                rows += future.result()
                bar.set_postfix_str(f"{rows / (monotonic() - begin):.0f} rows/s", refresh=False)
                bar.update()
        except BrokenProcessPool:
            raise UserError(f"{spool}: a worker process died; repeat the call with fewer workers") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    world = find_world(recording.tasks[0])
    write_dataset(spool, root, fps=world.control_hz / CHUNK, robot_type=world.robot)
    seconds = monotonic() - begin
    return {"rows": rows, "seconds": seconds, "rows_per_s": rows / seconds}
