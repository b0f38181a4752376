"""Checks of what reaches goal pictures: models are trained once and arms use them, all on the same goals."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from presage.networks.composed import Composed
from presage.policy.grounded import GroundedPolicy
from presage.simulator.planners import Score
from presage.systems.lab.arms import SIZE, recorded, steps_of, trained
from presage.systems.lab.check import Arm, CheckResult, block_of
from presage.systems.lab.datasets import T3
from presage.systems.lab.goals import REACHED, Attempt, Goal, attempt, choose_goals, strangers
from presage.systems.lab.kept import kept, made_of
from presage.systems.lab.starts import Block, Start, choose_starts, tuning_block
from presage.systems.lab.verdict import Sanity, judge
from presage.systems.system import Shape, System
from presage.systems.table import Row
from presage.timeline.session import Session
from presage.training.recorded import Recorded, shape_of
from presage.worlds.vector import VectorWorld

CAMERA = "top"
"""It shows best where the hand went: energies depend on the camera, as those of Assran et al. do (section 5)"""
ROWS = 8
"""Of an attempt"""
GOALS, TUNING_GOALS, PROBES, QUICK = 48, 16, 40, 2
STARTS = 200
"""Whose play is looked through for goals; most of them are never played"""
GRID = (7, 7, 3)
FOUND = 0.7
"""Share of probes of single rows in which a model's energy must say what was done, or its plans mean nothing"""


@dataclass(frozen=True)
class Training:
    stages: tuple[str, ...]
    """Of the system, after its encoder's"""
    shuffled: bool = False
    """Actions are those of other rows"""


@dataclass(frozen=True)
class Reacher:
    """An arm."""

    training: str
    use: Callable[[Composed, int], GroundedPolicy]


@dataclass(frozen=True)
class Check:
    """What a system's check is made of. The first arm is the system; all others are controls."""

    system: Callable[[Shape], System]
    encoder: str
    """The stage that is trained once, without actions, and frozen"""
    trainings: Mapping[str, Training]
    arms: Mapping[str, Reacher]
    margins: Mapping[str, float]
    score: Score
    """Of candidates of one step, for probes of single rows"""
    blind: Reacher
    """Who does anything, whatever is shown: what a control that cannot know better is worth"""


def reach(row: Row, check: Check, arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    """Run a check.

    Raises:
        UserError: the lab's play was not made.
    """
    began = time.monotonic()
    play = recorded("play", quick, (CAMERA,))
    play = play.only([i for i, task in enumerate(play.task) if task in T3])
    models = _train(check, play, seeds, out)
    names = [name for name in check.arms if not arms or name in arms]
    main, controls = next(iter(check.arms)), [name for name in names if name in check.margins]
    block, tuned = block_of(row, quick, out), _goals(tuning_block(), TUNING_GOALS, quick)
    goals = _goals(block, GOALS, quick)
    with closing(VectorWorld(list(T3), 1, (CAMERA,), SIZE)) as world:
        lab = _Lab(models, world, steps_of(quick, ROWS))
        tuning = {name: lab.rate(check.arms[name], seeds[:1], tuned) for name in controls}
        blind = lab.rate(check.blind, seeds[:1], tuned)
        done = [_arm(name, check.arms[name], lab, seeds, goals, out) for name in names]
        lost = lab.rate(check.arms[main], seeds, goals, strangers(goals))
    done = [replace(arm, rows=len(play.action)) for arm in done]
    figures = _probes(check, models, seeds, block, quick)
    verdict = None
    if len(names) == len(check.arms):
        found = float(figures[f"minimum within a cell, {check.arms[main].training}"] or 0)
        sanity = [
            Sanity("aimed at another episode's picture", lost, lost <= 0.5 * done[0].mean, "half as often"),
            Sanity("energy is least within a cell of the true action", found, found >= FOUND, f"at least {FOUND}"),
        ]
        verdict = judge({arm.name: arm.outcomes for arm in done}, main, check.margins, sanity, tuning, blind)
    figures |= {f"{name} on tuning goals": rate for name, rate in {**tuning, "random actions": blind}.items()}
    seconds = time.monotonic() - began
    return CheckResult(row, "goals reached", tuple(done), verdict, tuple(seeds), block, quick, seconds, figures)


def _train(check: Check, play: Recorded, seeds: Sequence[int], out: Path) -> dict[tuple[str, int], Composed]:
    """(training, seed) -> model, all with one frozen encoder."""
    shape = shape_of(play)
    whole = check.system(shape)
    encode = replace(whole, stages=tuple(s for s in whole.stages if s.name == check.encoder))
    eyes = trained(encode, shape, {"labelled": play}, 0, out / "encoder").codecs.state_dict()

    def build(shape: Shape) -> Composed:
        model = whole.build(shape)
        model.codecs.load_state_dict(eyes)
        return model

    models = {}
    for name, training in check.trainings.items():
        data = shuffled(play) if training.shuffled else play
        system = replace(whole, build=build, stages=tuple(s for s in whole.stages if s.name in training.stages))
        for seed in seeds:
            folder = out / name.replace(" ", "_") / str(seed)
            models[name, seed] = trained(system, shape, {"labelled": data}, seed, folder)
    return models


def shuffled(play: Recorded) -> Recorded:
    """Actions of other rows: what they do cannot be learned from these."""
    rows = np.flatnonzero(play.labelled)
    action = play.action.copy()
    action[rows] = play.action[np.random.default_rng(0).permutation(rows)]
    return replace(play, action=action)


@cache
def _starts(block: Block, quick: bool) -> list[Start]:
    return choose_starts(block, T3[:1] if quick else T3, 10 if quick else STARTS)


def _goals(block: Block, count: int, quick: bool, ahead: tuple[int, int] = (3, 6), near: bool = False) -> list[Goal]:
    return choose_goals(_starts(block, quick), QUICK if quick else count, CAMERA, SIZE, ahead, near)


@dataclass(frozen=True)
class _Lab:
    """What arms are judged with."""

    models: Mapping[tuple[str, int], Composed]
    world: VectorWorld
    most: int
    """Rows of an attempt"""

    def attempts(
        self, arm: Reacher, seed: int, goals: Sequence[Goal], pictures: Sequence[np.ndarray] | None = None
    ) -> list[Attempt]:
        """Each goal once, shown its own picture or another."""
        model = self.models[arm.training, seed]
        policy = arm.use(model, seed)

        def aim(picture: np.ndarray) -> None:
            policy.aim(model.goal({f"image.{CAMERA}": picture[None]}))

        shown = pictures or [goal.picture for goal in goals]
        return [attempt(policy, aim, goal, self.world, self.most, picture) for goal, picture in zip(goals, shown)]

    def rate(
        self, arm: Reacher, seeds: Sequence[int], goals: Sequence[Goal], pictures: Sequence[np.ndarray] | None = None
    ) -> float:
        return float(np.mean([a.reached for seed in seeds for a in self.attempts(arm, seed, goals, pictures)]))


def _arm(name: str, reacher: Reacher, lab: _Lab, seeds: Sequence[int], goals: Sequence[Goal], out: Path) -> Arm:
    """An arm on all goals; what was tried is kept."""
    tried, seconds = [], 0.0
    for seed in seeds:

        def attempts(seed: int = seed) -> dict[str, Any]:
            began = time.monotonic()
            done = [[a.reached, a.missed, a.seconds] for a in lab.attempts(reacher, seed, goals)]
            return {"attempts": done, "seconds": time.monotonic() - began}

        weights = lab.models[reacher.training, seed]
        made = made_of(goals=goals, weights=weights, use=reacher.use, rows=lab.most, distance=REACHED)
        result = kept(out / "arms" / name.replace(" ", "_") / f"{seed}.json", made, attempts)
        tried.append([Attempt(*each) for each in result["attempts"]])
        seconds += result["seconds"]
    moved = np.array([g.moved for g in goals])
    reached, missed = np.array([[[a.reached, a.missed] for a in each] for each in tried]).mean(0).T
    figures = {
        "hand goals": float(reached[~moved].mean()),
        "object goals": float(reached[moved].mean()),
        "cm from hand goals": 100 * float(missed[~moved].mean()),
        "cm from object goals": 100 * float(missed[moved].mean()),
        "s a decision": float(np.median([a.seconds for each in tried for a in each])),
    }
    trainings = [_trained(out / reacher.training.replace(" ", "_") / str(seed)) for seed in seeds]
    seconds += sum(spent for spent, _ in trainings)
    parameters = sum(p.numel() for p in lab.models[reacher.training, seeds[0]].parameters())
    outcomes = tuple(tuple(float(a.reached) for a in each) for each in tried)
    return Arm(name, outcomes, seconds, parameters, 0, trainings[0][1], figures)


def _trained(folder: Path) -> tuple[float, int]:
    """Seconds and steps of the stages in a folder, as their logs say."""
    last = [json.loads(path.read_text().splitlines()[-1]) for path in folder.glob("*/log.jsonl")]
    return sum(each["seconds"] for each in last), sum(each["step"] for each in last)


# -- probes of single rows --------------------------------------------------------------------------------------------


def _probes(
    check: Check, models: Mapping[tuple[str, int], Composed], seeds: Sequence[int], block: Block, quick: bool
) -> dict[str, float | None]:
    """How often the energy of a row's true next picture is least within a cell of the true action (Assran et al. 2025,
    figure 9), of models with true and shuffled actions."""
    goals = _goals(block, PROBES, quick, (1, 1), near=True)
    figures: dict[str, float | None] = {"minimum within a cell, chance": float(np.mean([chance(g) for g in goals]))}
    for name in (n for n, training in check.trainings.items() if "cloning" not in training.stages):
        near = np.array([[within(models[name, seed], check.score, goal) for goal in goals] for seed in seeds])
        moved = np.array([g.moved for g in goals])
        figures |= {
            f"minimum within a cell, {name}": float(near.mean()),
            f"minimum within a cell, {name}, object moved": float(near[:, moved].mean()),
        }
    return figures


def cells() -> np.ndarray:
    """(n, 3) displacements of the hand that are tried, evenly over what a robot may do."""
    axes = [np.linspace(-1, 1, n) for n in GRID]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3).astype(np.float32)


def true_cell(goal: Goal) -> tuple[int, ...]:
    """The cell that holds what was done in the first row."""
    done = goal.path[0, :, :3].mean(0)
    return tuple(int(round((x + 1) / 2 * (n - 1))) for x, n in zip(np.clip(done, -1, 1), GRID))


def chance(goal: Goal) -> float:
    """How often a cell that is drawn blindly is within one of the true one."""
    return float(np.prod([len({i - 1, i, i + 1} & set(range(n))) / n for i, n in zip(true_cell(goal), GRID)]))


def within(model: Composed, score: Score, goal: Goal) -> bool:
    """Whether the best cell lies within one of the true one. The gripper does what it did."""
    tried = cells()
    gripper = np.full((len(tried), 1), goal.path[0, :, 3].mean(), np.float32)
    chunks = np.repeat(np.concatenate([tried, gripper], 1)[:, None], goal.path.shape[1], 1)
    session = Session(model, [""])
    before = {name: x[None] for name, x in goal.before.items()}
    session.observe({f"image.{CAMERA}": before["picture"], "state": before["state"]})
    session.observe({f"image.{CAMERA}": goal.start[None], "state": goal.state[None]}, before["action"])
    session.aim(model.goal({f"image.{CAMERA}": goal.picture[None]}))
    with torch.inference_mode():
        scores = score(session, model.encode_action(chunks)[None])
    best = np.unravel_index(int(scores[0].argmax()), GRID)
    return bool(np.abs(np.array(best) - true_cell(goal)).max() <= 1)
