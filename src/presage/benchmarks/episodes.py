"""The fixed set of evaluation episodes that every success rate is measured on: ten tasks, seeds below 600000."""

from collections.abc import Sequence
from typing import Any

from presage.benchmarks.common import BenchArgs
from presage.networks.robot import RobotModel
from presage.results.tables import success_figures
from presage.worlds import MT10, RolloutResult, make_world
from presage.worlds.seeds import evaluation_seeds

MAX_STEPS = 60
"""Model steps (of 4 environment steps) after which an episode has failed; an expert needs 10 to 30."""
BATCH = 50
"""Episodes in lock step: finished ones cost nothing, so a large batch only saves overhead."""


def task_list(args: BenchArgs, episodes: int) -> tuple[list[str], list[int]]:
    """(tasks, seeds) of the episodes, `args.episodes` or `episodes` a task; the tasks take turns."""
    names = MT10[:2] if args.quick else MT10
    seeds = evaluation_seeds(args.seed, 2 if args.quick else args.episodes or episodes)
    return names * len(seeds), [seed for seed in seeds for _ in names]


def max_steps(args: BenchArgs) -> int:
    return 12 if args.quick else MAX_STEPS


def world_for(model: RobotModel, episodes: int, workers: int = 2, tasks: Sequence[str] = MT10) -> Any:
    """The world of `tasks` as `model` (of `systems.checkpoint.load_for`) sees it, for up to `BATCH` of `episodes` at
    once."""
    return make_world(
        tasks[0],
        tasks=tasks,
        num_envs=min(BATCH, episodes),
        cameras=list(model.cameras),
        size=model.size,
        chunk=model.chunk_shape[0],
        workers=workers,
    )


def per_task(name: str, results: list[RolloutResult]) -> dict[str, float]:
    """`name` with its bounds over all episodes, and `name/<task>`."""
    figures = success_figures(name, [r.success for r in results])
    for task in dict.fromkeys(r.task for r in results):
        successes = [r.success for r in results if r.task == task]
        figures[f"{name}/{task}"] = sum(successes) / len(successes)
    return figures
