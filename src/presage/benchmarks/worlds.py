"""Every world: how often its experts succeed, how fast it is recorded, and whether its snapshots are exact."""

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from presage.benchmarks.common import BenchArgs
from presage.episodes.spool import spool_episode
from presage.results.tables import success_figures
from presage.worlds import MT10, WORLDS
from presage.worlds.behaviours import Behaviours
from presage.worlds.collect import record_episode
from presage.worlds.seeds import evaluation_seeds
from presage.worlds.world import Simulation, Snapshot, World, find_world

REPLAYED = 40
"""Environment steps after a snapshot that are compared."""
RECORDED = 3
"""Episodes a task whose recording is timed."""
PIXELS = 64


def run_expert(simulation: Simulation, seed: int, limit: int) -> bool:
    """Whether the expert succeeds within `limit` environment steps."""
    simulation.reset(seed)
    while not simulation.success and simulation.steps < limit:
        simulation.step(simulation.expert_action())
    return simulation.success


def snapshot_difference(simulation: Simulation, seed: int) -> float:
    """The largest difference between a run and the same run repeated from a snapshot, over everything saved.

    The snapshot is taken after some steps of the expert, goes through bytes, and another episode comes between.
    """
    simulation.reset(seed)
    for _ in range(10):
        simulation.step(simulation.expert_action())
    saved = simulation.save().to_bytes()

    def run_on() -> np.ndarray:
        rng = np.random.default_rng(seed)
        states = []
        for _ in range(REPLAYED):
            expert = simulation.expert_action()
            simulation.step(np.clip(expert + rng.normal(0.0, 0.3, expert.shape), -1.0, 1.0))
            states.append(np.concatenate([each.ravel() for each in simulation.save().arrays.values()]))
        return np.array(states, np.float64)

    first = run_on()
    run_expert(simulation, seed + 1, 20)
    simulation.load(Snapshot.from_bytes(saved))
    return float(np.abs(run_on() - first).max())


def recording_rate(world: World, simulations: dict[str, Simulation], seed: int) -> float:
    """Images per second of one process that steps, renders and encodes as `presage collect` does."""
    renderer = world.renderer(world.default_cameras, PIXELS, 2)
    images, seconds = 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for task, simulation in simulations.items():
            simulation.reset(0)
            simulation.frames(renderer)  # the first picture of a task compiles its scene
            for index in range(RECORDED):
                start = perf_counter()
                episode = record_episode(simulation, renderer, seed + index, "expert", Behaviours())
                spool_episode(Path(folder), f"{task}-{index}", episode, world.control_hz)
                seconds += perf_counter() - start
                images += episode.length * len(world.default_cameras)
    return images / seconds


def run(args: BenchArgs) -> dict[str, Any]:
    """For every task of Push-T, Fetch and the pucks, and the ten usual ones of Meta-World.

    Success is counted within each world's own limit of environment steps (Meta-World and pucks 500, Push-T 300, Fetch
    50).
    `snapshot_difference` is the largest over `REPLAYED` steps; 0 means equal to the last bit. Rates are of one process.
    """
    seeds = evaluation_seeds(args.seed, 2 if args.quick else args.episodes or 100)
    figures: dict[str, Any] = {"episodes_per_task": len(seeds)}
    for name, wordings in WORLDS.items():
        tasks = MT10 if name == "metaworld" else list(wordings)
        tasks = tasks[:2] if args.quick else tasks
        world = find_world(tasks[0])
        simulations = {task: world.simulation(task) for task in tasks}
        successes, difference = [], 0.0
        for task, simulation in simulations.items():
            mine = [run_expert(simulation, seed, world.max_steps) for seed in seeds]
            figures |= success_figures(f"expert/{task}", mine)
            successes += mine
            difference = max(difference, snapshot_difference(simulation, seeds[0]))
        figures |= success_figures(f"expert/{name}", successes) if len(tasks) > 1 else {}
        figures[f"snapshot_difference/{name}"] = difference
        figures[f"images_per_s/{name}"] = recording_rate(world, simulations, seeds[0])
    return figures
