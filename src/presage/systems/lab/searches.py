"""Checks of search on Push-T: a frozen policy proposes, world models look ahead, one reward judges, and arms differ in
how they search and in what their world model has seen.

The reward is a head over imagined frames, the same for all arms. Coverage in the simulator is the figure of a check,
and nothing that an arm sees, but for the oracle.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.networks.composed import Composed
from presage.simulator.planners import Propose, Score
from presage.systems.lab.arms import CHUNK, SIZE, seconds_of, starts_of, steps_of, trained
from presage.systems.lab.check import Arm, CheckResult, block_of
from presage.systems.lab.datasets import PUSHT
from presage.systems.lab.kept import kept, made_of
from presage.systems.lab.outcome import COVERAGE, JUDGE, with_outcome
from presage.systems.lab.pushing import (
    CAMERA,
    ROWS,
    Use,
    final_coverage,
    foresight_errors,
    moments,
    push_data,
    regret,
    reward_errors,
)
from presage.systems.lab.readings import redrawn
from presage.systems.lab.rolled import FIRST_ROLLED, rolled
from presage.systems.lab.starts import FIRST_TUNING_SEED, Start, tuning_block
from presage.systems.lab.verdict import Sanity, Verdict, judge
from presage.systems.system import Shape, System
from presage.systems.table import Row
from presage.training.recorded import Recorded, encoded, joined, shape_of
from presage.worlds.protocol import Policy
from presage.worlds.vector import VectorWorld

TUNING_EPISODES = 17
"""Starts of each seed"""
MOMENTS, CANDIDATES = 40, 10
"""At which the regret of a pick is measured, and among how many"""
LISTENS = 0.8
"""A world model's error over that of copying, and of other actions, that its verdict needs"""
ROLLED, QUICK_ROLLED = "rolled ", 2
"""Kinds of data `rolled N`: N episodes of the policies that are to be improved"""

Outcomes = Mapping[str, tuple[tuple[float, ...], ...]]


@dataclass(frozen=True)
class Searcher:
    """An arm."""

    world: str
    """Which world model"""
    use: Use


@dataclass(frozen=True)
class Check:
    """What a check of search is made of."""

    system: Callable[[Shape], System]
    once: tuple[str, ...]
    """Stages that are trained once: codec and reward"""
    policy: str
    """The stage that is trained with every seed"""
    model: tuple[str, ...]
    """Stages of a world model"""
    worlds: Mapping[str, Mapping[str, float]]
    """Name -> kinds of data and their shares, which those stages learn from; none: random weights"""
    arms: Mapping[str, Searcher]
    claims: Sequence[tuple[str, Mapping[str, float]]]
    """Arm -> controls and margins. All have to hold; the weakest is the verdict."""
    lines: Callable[[Outcomes], Sequence[Sanity]]
    """What outcomes must say, or the verdict means nothing"""
    propose: Propose
    score: Score
    ahead: int
    """Rows that are imagined"""
    starts: int = 34
    """Of each seed"""
    others: Mapping[str, Callable[[Shape], System]] = field(default_factory=dict)
    """World models of clips that no arm uses, with stages of their own: they learn from what the last of `worlds` does,
    and their errors are printed"""


def compare_searches(
    row: Row, check: Check, names: Sequence[str], seeds: Sequence[int], quick: bool, out: Path
) -> CheckResult:
    """Run a check.

    Raises:
        UserError: there is no such arm, or the lab's datasets of Push-T were not made.
    """
    for name in names:
        if name not in check.arms:
            raise UserError(f"{row.title} has no arm {name!r}: there are {', '.join(check.arms)}")
    began, block = time.monotonic(), block_of(row, quick, out)
    chosen = [name for name in check.arms if not names or name in names]
    kinds, held = push_data(quick)
    asked = {check.arms[name].world for name in chosen} | (set() if names else set(check.others))
    lab = _prepare(check, kinds, seeds, asked, quick, out)
    starts = starts_of(block, PUSHT, check.starts, quick)
    tuning = starts_of(tuning_block(1), PUSHT, TUNING_EPISODES, quick)
    arms = {}
    for name in chosen:
        arms[name] = _arm(name, check.arms[name], lab, seeds, starts, out)
        print(f"{name}: coverage {arms[name].mean:.3f}, {arms[name].seconds:.0f} s", flush=True)
    figures, sanity = _look(check, lab, held, seeds[0], quick)
    verdict = None
    if len(chosen) == len(check.arms):
        outcomes = {name: arm.outcomes for name, arm in arms.items()}
        sanity = [*sanity, *check.lines(outcomes)]
        base = next(iter(check.claims[0][1]))
        figures[f"{base} on tuning starts"] = _tuned(check.arms[base], lab, seeds[0], tuning)
        verdict = weakest([judge(outcomes, arm, margins, sanity) for arm, margins in check.claims])
    seconds = max(time.monotonic() - began, max(arm.seconds for arm in arms.values()))
    return CheckResult(row, "coverage", tuple(arms.values()), verdict, tuple(seeds), block, quick, seconds, figures)


def _look(
    check: Check, lab: "_Lab", held: Recorded, seed: int, quick: bool
) -> tuple[dict[str, float | None], list[Sanity]]:
    """What the reward and each world model are worth, and what of it must hold."""
    first = lab.model(next(iter(lab.worlds)), seed)
    figures: dict[str, float | None] = {**reward_errors(first, held, 2 if quick else 12)}
    starts = starts_of(tuning_block(2), PUSHT, MOMENTS, quick)
    at = moments(first, check.propose, lab.base(first, seed), starts, CANDIDATES)
    sanity = []
    for name in lab.worlds:
        model = lab.model(name, seed)
        errors = foresight_errors(model, held, check.ahead, clip=name in check.others)
        if name not in check.others:
            errors |= regret(model, check.score, at)
        figures |= {f"{what}, {name}": value for what, value in errors.items()}
        if name == check.arms[check.claims[0][0]].world:
            for what in ("error / copied frame's", "error / with other actions"):
                sanity.append(Sanity(f"{what}, {name}", errors[what], errors[what] < LISTENS, f"below {LISTENS}"))
    return figures, [*sanity, put_back_line(figures)]


def put_back_line(figures: Mapping[str, float | None]) -> Sanity:
    """A reward that reads the hand says of a success whose block is put back what it says of one."""
    back, whole = (figures[f"reward of {what}"] for what in ("its block put back", "a success"))
    share = math.nan if back is None or not whole else back / max(whole, 1e-6)
    return Sanity("reward of a success, its block put back / as it is", share, share < 0.5, "below 0.5")


def weakest(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several claims that must all hold, the one that says least for them."""
    order = ("refuted", "not shown", "shown")
    return min(verdicts, key=lambda v: (order.index(v.outcome), v.comparisons[0].slack))


@dataclass(frozen=True)
class _Lab:
    """What is trained: everything once, but a policy for each seed and a network for each world model."""

    base: Callable[[Composed, int], Policy]
    policies: Mapping[int, Composed]
    worlds: Mapping[str, Composed]
    rows: Mapping[str, int]
    """That each world model learned from; those of the policies are the same for all"""
    steps: int
    seconds: Mapping[str, float]
    """Of training each world model, and of the policies"""
    most: int
    """Rows of an episode"""

    def model(self, world: str, seed: int) -> Composed:
        """The policy of a seed in a world model, until another one is asked for."""
        model = self.worlds[world]
        model.parts["head"].load_state_dict(self.policies[seed].parts["head"].state_dict())
        return model


def _prepare(
    check: Check, kinds: dict[str, Recorded], seeds: Sequence[int], worlds: set[str], quick: bool, out: Path
) -> _Lab:
    shape = shape_of(kinds["labelled"])
    whole = check.system(shape)
    stages = {stage.name: stage for stage in whole.stages}

    def part(names: Sequence[str]) -> System:
        return replace(whole, stages=tuple(stages[name] for name in names))

    first = trained(part(check.once), shape, kinds, 0, out / "once")
    codecs, reward = first.codecs.state_dict(), first.parts[JUDGE].state_dict()

    def seeing(own: System) -> System:
        """With the codec and the reward that were trained once."""

        def build(shape: Shape) -> Composed:
            model = own.build(shape)
            model.codecs.load_state_dict(codecs)
            model.parts[JUDGE].load_state_dict(reward)
            return model

        return replace(own, build=build)

    data = {kind: encoded(first, rows) for kind, rows in kinds.items()}
    policies = {
        seed: trained(seeing(part([check.policy])), shape, data, seed, out / "policy" / str(seed)) for seed in seeds
    }
    seconds = {"policies": sum(seconds_of(out / "policy" / str(seed) / check.policy) for seed in seeds)}
    learned = {**check.worlds, **dict.fromkeys(check.others, list(check.worlds.values())[-1])}
    asked = {kind for name in worlds for kind in learned[name] if kind.startswith(ROLLED)}
    for kind in sorted(asked):  # each rolled on its own: what is asked for beside it changes nothing
        episodes = QUICK_ROLLED if quick else int(kind.removeprefix(ROLLED))
        data[kind] = encoded(first, _failures(whole.uses["base"], policies, episodes, steps_of(quick, ROWS)))
    models = {}
    for name, shares in learned.items():
        if name not in worlds:
            continue
        own = check.others[name](shape) if name in check.others else part(check.model)
        folder = out / "worlds" / name.replace(" ", "_")
        learns = tuple(replace(stage, data=shares) for stage in own.stages) if shares else ()
        system = seeing(replace(own, stages=learns))
        model = trained(system, shape, {kind: data[kind] for kind in shares}, 0, folder)
        models[name] = model if shares else redrawn(model)
        seconds[name] = sum(seconds_of(folder / stage.name) for stage in learns)
    steps = sum(stage.optimiser.steps for stage in whole.stages)
    rows = {name: sum(len(data[kind].action) for kind in learned[name]) for name in models}
    return _Lab(whole.uses["base"], policies, models, rows, steps, seconds, steps_of(quick, ROWS))


def _failures(
    acting: Callable[[Composed, int], Policy], policies: Mapping[int, Composed], episodes: int, most: int
) -> Recorded:
    """Episodes of the policies that are to be improved, seeds in turn: with all that they do wrong. How much each of
    their frames covers, nobody is told."""
    parts = []
    for turn, (seed, model) in enumerate(policies.items()):
        numbers = list(range(FIRST_ROLLED, FIRST_ROLLED + episodes))[turn :: len(policies)]
        if numbers:
            parts.append(rolled(acting(model, seed), list(PUSHT) * len(numbers), numbers, (CAMERA,), most).recorded)
    whole = joined(parts)
    order = np.argsort(np.concatenate([np.arange(len(part.length)) for part in parts]), kind="stable")
    whole = whole.only(order.tolist())
    return with_outcome(whole, COVERAGE, np.full(len(whole.action), np.nan))


def _arm(name: str, arm: Searcher, lab: _Lab, seeds: Sequence[int], starts: Sequence[Start], out: Path) -> Arm:
    """An arm on all starts; what was tried is kept."""
    outcomes, seconds = [], 0.0
    for seed in seeds:
        model = lab.model(arm.world, seed)

        def tried(model: Composed = model, seed: int = seed) -> dict[str, Any]:
            began = time.monotonic()
            covered = final_coverage(arm.use, starts, lab.most)(model, seed)
            return {"coverage": covered, "seconds": time.monotonic() - began}

        made = made_of(starts=starts, weights=model, use=arm.use, rows=lab.most)
        result = kept(out / "arms" / name.replace(" ", "_") / f"{seed}.json", made, tried)
        outcomes.append(tuple(result["coverage"]))
        seconds += result["seconds"]
    solved = float(np.mean([[each > 0.95 for each in covered] for covered in outcomes]))
    figures = {"solved": solved, "s a decision": _decision(arm.use, model)}
    parameters = sum(p.numel() for p in model.parameters())
    spent = seconds + lab.seconds[arm.world] + lab.seconds["policies"]
    return Arm(name, tuple(outcomes), spent, parameters, lab.rows[arm.world], lab.steps, figures)


def _decision(use: Use, model: Composed) -> float:
    """Seconds from one observation to one chunk, the median of three."""
    seconds = []
    with closing(VectorWorld(list(PUSHT), 1, (CAMERA,), SIZE, chunk=CHUNK)) as world:
        seen, info = world.reset(seed=[FIRST_TUNING_SEED])
        policy = use(model, 0, world)
        policy.reset(list(info["instruction"]))
        for _ in range(3):
            began = time.monotonic()
            policy.act(seen)
            seconds.append(time.monotonic() - began)
    return float(np.median(seconds))


def _tuned(arm: Searcher, lab: _Lab, seed: int, starts: Sequence[Start]) -> float:
    return float(np.mean(final_coverage(arm.use, starts, lab.most)(lab.model(arm.world, seed), seed)))
