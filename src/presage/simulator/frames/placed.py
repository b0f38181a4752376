"""Frames of Meta-World with the object anywhere: what readers of poses learn from, and are tested on.

Objects at the places that tasks choose would teach where objects usually are. Here the hand mostly wanders, and of each
moment three pictures are taken: with the object at a random place, without it, and with it at a second place. Of these
a training makes objects that fade, ghosts and twins, which dreams are full of and simulators are not.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from presage.episodes.user_cache import locked
from presage.simulator.frames.staging import digest_of, setting_of_task
from presage.worlds.collect import renderer_of, simulation_of, start_worker
from presage.worlds.metaworld import Simulation, project
from presage.worlds.world import OBJECT, find_world

CAMERAS, SIZE = ("front", "top"), 64
EDITION = 1
"""Raised when what is shown changes: moments of earlier editions are recorded again."""
SEEN = 4
"""Pixels that show an object, from which on it counts as visible; with fewer, nobody can tell"""
FULL, EMPTY, OTHER = range(3)
"""The three pictures of a moment."""
MOMENTS = 6
"""Of one seed, with its goal and its place of fixtures"""
STEPS = 6
"""Environment steps between two moments"""
LOW, HIGH = np.array([-0.30, 0.42, 0.03]), np.array([0.30, 0.92, 0.34])
"""Where the hand goes, metres"""


@dataclass(frozen=True)
class Placed:
    """N moments, C cameras of S pixels. Pixels are (column, row)."""

    task: np.ndarray  # (N,) int64, in the list of tasks
    images: np.ndarray  # (N, 3, C, S, S, 3) uint8: the object at a place, no object, the object at another place
    masks: np.ndarray  # (N, 2, C, S, S) bool: pixels that show the object at its two places, if only in part
    objects: np.ndarray  # (N, 2, C, 2) where its two places are
    hands: np.ndarray  # (N, C, 2)

    def __len__(self) -> int:
        return len(self.task)


def moments(simulation: Simulation, renderer: Any, number: int, seed: int) -> Placed:
    """`MOMENTS` moments of one seed; `number` is the task's. With every third seed the expert acts, with noise, and the
    first picture shows its object where it is: what is held or pressed is seldom seen otherwise."""
    simulation.reset(seed)
    follows = seed % 3 == 0
    rng = np.random.default_rng((seed, 11))
    images, masks, objects, hands = [], [], [], []
    for _ in range(MOMENTS):
        _follow(simulation, rng) if follows else _wander(simulation, rng)
        here = simulation.save()
        shown: list[dict[str, np.ndarray]] = []
        for other in (False, True):
            if other or not follows:
                simulation.place(_somewhere(simulation, rng), rng)
            shown.append(simulation.frames(renderer))
            masks.append([simulation.segments(renderer)[c] == OBJECT for c in CAMERAS])
            objects.append([project(c, simulation.thing, SIZE) for c in CAMERAS])
        shown.insert(EMPTY, simulation.empty_frames(renderer))
        images.append([[picture[c] for c in CAMERAS] for picture in shown])
        hands.append([project(c, simulation.state[:3], SIZE) for c in CAMERAS])
        simulation.load(here)
    return Placed(
        np.full(MOMENTS, number),
        np.array(images, np.uint8),
        np.array(masks).reshape(MOMENTS, 2, len(CAMERAS), SIZE, SIZE),
        np.array(objects, np.float32).reshape(MOMENTS, 2, len(CAMERAS), 2),
        np.array(hands, np.float32),
    )


def _wander(simulation: Simulation, rng: np.random.Generator) -> None:
    """Send the hand somewhere, half of the time to where things are."""
    target = rng.uniform(LOW, HIGH)
    if rng.random() < 0.5:
        target = simulation.thing + rng.normal(0, [0.06, 0.06, 0.05])
    gripper = rng.choice([-1.0, 1.0])
    for _ in range(STEPS):
        way = np.clip(10 * (target - simulation.state[:3]), -1, 1)
        simulation.step(np.append(way, gripper))


def _follow(simulation: Simulation, rng: np.random.Generator) -> None:
    """Some steps of the expert."""
    noise = rng.choice([0.0, 0.4])
    for _ in range(int(rng.integers(6, 26))):
        simulation.step(np.clip(simulation.expert_action() + noise * rng.normal(size=4), -1, 1))


def _somewhere(simulation: Simulation, rng: np.random.Generator) -> np.ndarray:
    """On the table or lifted; at times where the hand hides it in part. Of a fixture: anywhere in its range."""
    if not simulation.loose:
        return rng.random(3)
    height = 0.02 if rng.random() < 0.6 else rng.uniform(0.02, 0.32)
    if rng.random() < 0.3:
        near = simulation.state[:3] + rng.normal(0, [0.04, 0.04, 0.03])
        return np.array([near[0], near[1], max(0.02, near[2] - 0.02)])
    return np.array([rng.uniform(-0.36, 0.36), rng.uniform(0.38, 0.95), height])


def _run(task: str, number: int, seed: int) -> Placed:
    world, simulation = find_world(task), simulation_of(task)
    if world.name == "pusht":
        from presage.simulator.frames import placed_pusht

        renderer = renderer_of(world, placed_pusht.CAMERAS, SIZE, 2)
        return placed_pusht.moments(simulation, renderer, number, seed)
    return moments(simulation, renderer_of(world, CAMERAS, SIZE, 2), number, seed)


def join(parts: Sequence[Placed]) -> Placed:
    return Placed(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Placed)))


def placed(tasks: Sequence[str], first_seed: int, seeds: int, folder: Path, workers: int = 2) -> Placed:
    """`seeds` seeds of each task from `first_seed` on; kept in `folder`, and read from there the next time.

    workers: processes that record; 0: this one.

    Raises:
        UserError: nothing can be written there, or nothing can be drawn.
    """
    from safetensors.numpy import load_file, save_file

    digest = digest_of(setting_of_task(tasks[0]), [list(tasks), first_seed, seeds, EDITION])
    file = folder / f"placed-{first_seed}-{seeds}-{digest}.safetensors"
    with locked(file):
        if file.exists():
            return Placed(**load_file(file))
        jobs = [(task, number, first_seed + i) for i in range(seeds) for number, task in enumerate(tasks)]
        found = join(_recorded(jobs, workers))
        partial = file.with_suffix(".partial")
        save_file({f.name: np.ascontiguousarray(getattr(found, f.name)) for f in fields(Placed)}, partial)
        partial.rename(file)
    return found


def _recorded(jobs: Sequence[tuple[str, int, int]], workers: int) -> list[Placed]:
    from tqdm import tqdm

    if not workers:
        return [_run(*job) for job in jobs]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=start_worker) as pool:
        parts = pool.map(_run, *zip(*jobs, strict=True))
        return list(tqdm(parts, total=len(jobs), desc="record objects at random places", unit="seed"))
