"""Recorded scenes: true frames, what each pixel of them shows, actions and poses; kept in the user's cache folder."""

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from presage.episodes.user_cache import cache_folder, locked
from presage.errors import UserError
from presage.simulator.frames.placed import SEEN, SIZE
from presage.simulator.frames.staging import Kind, Setting, digest_of, setting_of, setting_of_task, stage
from presage.worlds.behaviours import CHUNK
from presage.worlds.collect import renderer_of, simulation_of, start_worker
from presage.worlds.instructions import instructions
from presage.worlds.seeds import FIRST_TUNING_SEED, evaluation_seeds
from presage.worlds.world import OBJECT, find_world

if TYPE_CHECKING:
    from presage.networks.robot import Facts

STEPS = (1, 8, 16, 32, 64)
"""Steps after which regions are compared"""
EDITION = 1
"""Raised when a script changes: scenes of earlier editions are recorded again."""
SEEDS_APART = 10
"""Seeds kept for one scene: the first that fits is recorded"""
INSIDE = 8
"""Pixels from the edge from which on the whole of an object is seen"""
_WITHIN = 2
"""Pixels from the edge within which hand and object count as out of the picture"""
RECORDED = ("frames", "segments", "states", "place", "success")
"""Arrays with a row for each frame, beside places in pixels"""


@dataclass(frozen=True)
class Scenes:
    """E episodes of one kind. P frames are shown (`past`), the N after them are to be imagined; C cameras of S pixels.
    Frame P - 1 is the one a dream starts from; A numbers of an action, S of the state. Pixels are (column, row)."""

    kind: str
    past: int
    task: list[str]  # (E,)
    group: np.ndarray  # (E,) episodes of one group start alike
    factor: np.ndarray  # (E,) what varies within a group, where that is a number
    frames: np.ndarray  # (E, P + N, C, S, S, 3) uint8
    segments: np.ndarray  # (E, P + N, C, S, S) uint8: `rendering.ROBOT` and so on
    redrawn: np.ndarray  # (E, len(STEPS), C, S, S, 3) uint8: the robot where it is, the object where it was
    states: np.ndarray  # (E, P + N, S) float32
    actions: np.ndarray  # (E, P + N - 1, 4, A) float32: the chunk executed after each frame
    hand: np.ndarray  # (E, P + N, C, 2) float32 pixels
    object: np.ndarray  # (E, P + N, C, 2) float32 pixels
    place: np.ndarray  # (E, P + N, 3) float32: where the object is, as its simulator says
    success: np.ndarray  # (E, P + N) bool: whether the task was solved until then
    end: np.ndarray | None = None  # (E, P + N, C, 2) float32 pixels: a second point of an object that turns

    def __len__(self) -> int:
        return len(self.task)

    @property
    def setting(self) -> Setting:
        return setting_of_task(self.task[0])

    @property
    def steps(self) -> int:
        """N: how many frames are to be imagined."""
        return self.frames.shape[1] - self.past

    @property
    def instruction(self) -> list[str]:
        return [instructions(task)[0] for task in self.task]

    def at(self, array: np.ndarray, step: int) -> np.ndarray:
        """What an array holds `step` steps after the last frame that is shown."""
        return array[:, self.past - 1 + step]

    def visible(self, step: int) -> np.ndarray:
        """(E, C) whether enough pixels show the object."""
        seen = np.asarray((self.at(self.segments, step) == OBJECT).sum((-2, -1)) >= SEEN)
        where = self.at(self.object, step)
        return seen & ((where > _WITHIN) & (where < SIZE - _WITHIN)).all(-1)

    def hand_in_view(self, step: int) -> np.ndarray:
        """(E, C) whether the hand is in the picture."""
        where = self.at(self.hand, step)
        return np.asarray(np.all((where > _WITHIN) & (where < SIZE - _WITHIN), axis=-1))

    def moved(self, step: int) -> np.ndarray:
        """(E,) whether the object is elsewhere than in the last frame that is shown."""
        return np.linalg.norm(self.at(self.place, step) - self.at(self.place, 0), axis=-1) > self.setting.moved


def check_shape(model: "Facts", setting: Setting, folder: Path) -> None:
    """Raise `UserError` unless the model of a folder sees what scenes show: all of a setting are recorded through the
    same cameras, in one size, with one number of actions a step."""
    chunk = model.chunk_shape[0]
    if (set(model.cameras), model.size, chunk) != (set(setting.cameras), SIZE, CHUNK):
        raise UserError(
            f"{folder} sees {', '.join(model.cameras)} at {model.size} pixels, {chunk} actions a step: this bench "
            f"needs a checkpoint trained on {', '.join(setting.cameras)} at {SIZE} pixels, {CHUNK} actions a step"
        )


def record(name: str, steps: int, task: str, seed: int, group: int) -> list[dict[str, Any]]:
    """The episodes of a scene: one of each variant, of the first seed that fits."""
    setting, simulation = setting_of_task(task), simulation_of(task)
    kind, renderer = replace(setting.kinds[name], steps=steps), renderer_of(find_world(task), setting.cameras, SIZE, 2)
    found: list[dict[str, Any]] = []
    for tried in range(SEEDS_APART):
        episodes = [_record(setting, simulation, renderer, kind, seed + tried, v) for v in range(kind.variants)]
        found = [episode | {"group": group} for episode in episodes]
        if all(_fits(kind, episode) for episode in found):
            break
    return found


def _fits(kind: Kind, episode: dict[str, Any]) -> bool:
    if kind.fails and episode["success"][-1]:
        return False
    end = episode["object"][-1]
    if kind.in_view and not ((end > INSIDE) & (end < SIZE - INSIDE)).all(-1).any():
        return False
    if not kind.least_motion:
        return True
    motion = np.linalg.norm(end - episode["object"][kind.past - 1], axis=-1).max()
    seen = (episode["segments"][-1] == OBJECT).sum((-2, -1)).max()
    return bool(motion >= kind.least_motion and seen >= SEEN)


def _record(setting: Setting, simulation: Any, renderer: Any, kind: Kind, seed: int, variant: int) -> dict[str, Any]:
    cameras = setting.cameras
    places: dict[str, Callable[[Any], np.ndarray]] = {
        "hand": setting.hand,
        "object": lambda simulation: simulation.thing,
    }
    if setting.end is not None:
        places["end"] = setting.end
    rows: dict[str, list[Any]] = {name: [] for name in (*RECORDED, *places)}
    redrawn: list[Any] = []
    start: list[np.ndarray] = []

    def look() -> None:
        row = len(rows["frames"])
        for name, shown in (("frames", simulation.frames(renderer)), ("segments", simulation.segments(renderer))):
            rows[name].append([shown[c] for c in cameras])
        rows["states"].append(simulation.state)
        rows["place"].append(simulation.thing)
        rows["success"].append(simulation.success)
        for name, point in places.items():
            rows[name].append([setting.project(c, point(simulation), SIZE) for c in cameras])
        if row == kind.past - 1:
            start.append(simulation.pose)
        if row - kind.past + 1 in STEPS:
            here = simulation.save()
            simulation.pose = start[0]
            shown = simulation.frames(renderer)
            redrawn.append([shown[c] for c in cameras])
            simulation.load(here)

    actions, factor = stage(simulation, kind, seed, variant, look)
    types: dict[str, type[np.generic]] = {"frames": np.uint8, "segments": np.uint8, "success": np.bool_}
    arrays = {name: np.array(value, types.get(name, np.float32)) for name, value in rows.items()}
    return {
        **arrays,
        "redrawn": np.array(redrawn, np.uint8),
        "actions": actions,
        "factor": factor,
        "task": simulation.task,
    }


def scene_seeds(seed: int, count: int, tuning: bool) -> list[int]:
    """First seeds of `count` scenes: those of evaluation belong to `--seed`, those of tuning to nobody.

    Raises:
        UserError: there are no such seeds.
    """
    if tuning:
        return [FIRST_TUNING_SEED + i * SEEDS_APART for i in range(count)]
    return evaluation_seeds(seed, count * SEEDS_APART)[::SEEDS_APART]


def scenes(
    name: str,
    count: int,
    seed: int = 0,
    tuning: bool = False,
    steps: int | None = None,
    workers: int = 2,
    world: str = "metaworld",
) -> Scenes:
    """`count` scenes of a kind (each with all its variants), recorded the first time; tasks take turns.

    steps: at most so many frames are to be imagined. workers: processes that record; 0: this one.

    Raises:
        UserError: there are no such seeds, or the cache folder cannot be written.
    """
    from safetensors.numpy import load_file, save_file

    setting = setting_of(world)
    kind = setting.kinds[name]
    kind = kind if steps is None else replace(kind, steps=min(kind.steps, steps))
    seeds = scene_seeds(seed, count, tuning)
    digest = digest_of(setting, [name, kind.past, kind.steps, kind.tasks, seeds, EDITION])
    file = cache_folder() / "scenes" / f"{name}-{'tuning' if tuning else seed}-{count}-{digest}.safetensors"
    with locked(file):
        if not file.exists():
            jobs = [(name, kind.steps, kind.tasks[i % len(kind.tasks)], s, i) for i, s in enumerate(seeds)]
            episodes = [episode for part in _recorded(jobs, workers) for episode in part]
            tasks = [episode.pop("task") for episode in episodes]
            arrays = {key: np.stack([np.asarray(e[key]) for e in episodes]) for key in episodes[0]}
            partial = file.with_suffix(".partial")
            save_file(arrays, partial, {"task": json.dumps(tasks)})
            partial.rename(file)
    return Scenes(kind=name, past=kind.past, task=_tasks(file), **load_file(file))


def _recorded(jobs: Sequence[tuple[str, int, str, int, int]], workers: int) -> list[list[dict[str, Any]]]:
    from tqdm import tqdm

    if not workers:
        return [record(*job) for job in jobs]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=start_worker) as pool:
        parts = pool.map(record, *zip(*jobs, strict=True))
        return list(tqdm(parts, total=len(jobs), desc=f"record scenes: {jobs[0][0]}", unit="scene"))


def _tasks(file: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(file, "np") as opened:
        return list(json.loads(opened.metadata()["task"]))
