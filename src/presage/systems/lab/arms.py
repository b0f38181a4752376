"""Run the arms of a check: train each with every seed, judge each on the same starts, keep what is done.

An arm is a change of a system's value. Arms see the same data, steps and starts unless the change says otherwise.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from presage.device import default_device
from presage.episodes.dataset import Dataset
from presage.networks.composed import Composed
from presage.systems.lab.check import Arm
from presage.systems.lab.datasets import dataset
from presage.systems.lab.kept import kept, made_of
from presage.systems.lab.starts import Block, Start, choose_starts
from presage.systems.system import DEBUG, Shape, Size, System
from presage.training.fingerprint import Fingerprint, entry
from presage.training.recorded import Recorded, read_recorded
from presage.training.stage import train_stages
from presage.worlds.protocol import Policy
from presage.worlds.rollout import rollout

CAMERAS, SIZE, CHUNK = ("front", "top"), 64, 4
MAX_STEPS = 40
"""Model steps of an episode: 8 seconds."""
QUICK_STEPS = 3
"""The same of a debug twin"""

Judge = Callable[[Composed, int], list[float]]
"""A trained model and its seed -> the figure of each start"""


def recorded(name: str, quick: bool, cameras: Sequence[str] = CAMERAS) -> Recorded:
    """A dataset of the lab in memory.

    Raises:
        UserError: it was not made.
    """
    return read_recorded(Dataset(dataset(name, quick)), list(cameras), SIZE, CHUNK)


def success(
    use: Callable[[Composed, int], Policy],
    starts: Sequence[Start],
    cameras: Sequence[str] = CAMERAS,
    around: Callable[[Any], Any] = lambda world: world,
    max_steps: int = MAX_STEPS,
) -> Judge:
    """The figure of a policy: 1 where the simulator says that the task was solved, else 0. `around`: what is put around
    the world, such as knocks."""

    def judge(model: Composed, seed: int) -> list[float]:
        from presage.worlds.vector import VectorWorld

        tasks = sorted({s.task for s in starts})
        world = VectorWorld(tasks, min(16, len(starts)), cameras, SIZE, chunk=CHUNK)
        shown = around(world)
        try:
            results = rollout(use(model, seed), shown, [s.task for s in starts], [s.seed for s in starts], max_steps)
        finally:
            world.close()
        return [float(r.success) for r in results]

    return judge


def starts_of(block: Block, tasks: Sequence[str], count: int, quick: bool) -> list[Start]:
    """The starts of a check; two of the first task for a debug twin."""
    return choose_starts(block, tasks[:1], 2) if quick else choose_starts(block, tasks, count)


def steps_of(quick: bool, most: int = MAX_STEPS) -> int:
    """Of an episode."""
    return min(most, QUICK_STEPS) if quick else most


def run_arm(
    name: str,
    system: System,
    shape: Shape,
    data: Mapping[str, Recorded],
    seeds: Sequence[int],
    judge: Judge,
    out: Path,
    starts: Sequence[Start],
    figures: Callable[[Composed], Mapping[str, float]] = lambda model: {},
    training: str = "",
) -> Arm:
    """Train and judge an arm with every seed. What is done lies in `out/name/SEED` and is not done again (`kept`).

    figures: printed beside the outcomes, of each seed's model; their means are kept. training: arms that name the same
    one share it; it lies in `out/training/SEED`.

    Raises:
        UserError: what lies there was made from something else.
    """
    made = made_of(
        starts=starts,
        system=[system.card.name, system.stages, system.build, shape],
        data=data,
        judge=judge,
        figures=figures,
    )
    outcomes, seconds, beside, parameters = [], 0.0, [], 0
    for seed in seeds:

        def judged(seed: int = seed) -> dict[str, Any]:
            began = time.monotonic()
            model = trained(system, shape, data, seed, out / (training or name).replace(" ", "_") / str(seed))
            outcome = judge(model, seed)
            return {
                "outcome": outcome,
                "figures": dict(figures(model)),
                "parameters": sum(p.numel() for p in model.parameters()),
                "seconds": time.monotonic() - began,
            }

        result = kept(out / name.replace(" ", "_") / str(seed) / "outcome.json", made, judged)
        outcomes.append(tuple(result["outcome"]))
        beside.append(result["figures"])
        seconds, parameters = seconds + result["seconds"], result["parameters"]
    means = {key: sum(math.nan if f[key] is None else f[key] for f in beside) / len(beside) for key in beside[0]}
    rows = sum(len(part.action) for part in data.values())
    steps = sum(stage.optimiser.steps for stage in system.stages)
    return Arm(name, tuple(outcomes), seconds, parameters, rows, steps, means)


def trained(
    system: System,
    shape: Shape,
    data: Mapping[str, Recorded],
    seed: int,
    folder: Path,
    made_from: Fingerprint | None = None,
    only: str | None = None,
    start: Mapping[str, torch.Tensor] | None = None,
) -> Composed:
    """A system trained with a seed; resumes from `folder`. made_from: what else it follows from. only: that stage, on
    the finished ones before it. start: weights that it begins with, by name; others are drawn by the seed."""
    torch.manual_seed(seed)
    model = system.build(shape).to(default_device())
    if start is not None:
        model.load_state_dict({**model.state_dict(), **start})
    stages = [replace(s, optimiser=replace(s.optimiser, seed=seed)) for s in system.stages]
    made = (made_from or {}) | {
        "system": entry("system", system.card.name),
        "weights": entry("seed of the first weights", seed),
    }
    made |= {f"data.{kind}": entry(f"data {kind}", part.fingerprint) for kind, part in data.items()}
    return train_stages(model, stages, data, folder, made, only)


def seconds_of(stage: Path) -> float:
    """What training a stage took, calls that were killed and continued included."""
    *_, last = (stage / "log.jsonl").read_text().splitlines()
    return float(json.loads(last)["seconds"])


def sized(size: Size, quick: bool) -> Size:
    return DEBUG if quick else size
