"""Checks of systems whose claim is about execution: few trainings, each executed in several ways at several delays.

All arms share the codec, which sees pictures alone, the labels and the starts, half of which are far.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from zlib import crc32

import numpy as np

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.networks.composed import Composed
from presage.policy.asynchronous import Foresight
from presage.systems.lab.arms import CAMERAS, CHUNK, SIZE, run_arm, starts_of, steps_of, success
from presage.systems.lab.check import Arm, CheckResult, block_of
from presage.systems.lab.datasets import T3, dataset
from presage.systems.lab.policies import lab_data, shared_codec, with_codec
from presage.systems.lab.probes import Pairs
from presage.systems.lab.verdict import Sanity, Verdict, judge
from presage.systems.system import Shape, System
from presage.systems.table import Row
from presage.timeline.session import Session
from presage.training.recorded import Recorded, encoded, read_recorded, shape_of
from presage.worlds.knocks import Knocked
from presage.worlds.protocol import Policy

EPISODES, PAIRS = 60, 300
ROUNDING = 1e-9
"""A difference of 3 in 60 is 0.05"""
FORWARD_LIMITS = {"forward error / copied frame's, moved pixels": 1.0, "forward error / with other actions": 0.9}
"""Of `probes.forward_errors`: a forward step that is no better under the running action cannot make up for a delay."""


@dataclass(frozen=True)
class Training:
    """What is trained, and by how many rows later than it is seen an action is to be known."""

    system: Callable[[Shape], System]
    delay: int = 0


@dataclass(frozen=True)
class Execution:
    """An arm: the model of a training, and how it acts (model, seed). figures: of the model and held-out pairs. around:
    what is put around the world; by default half of the episodes are knocked."""

    training: str
    use: Callable[[Composed, int], Policy]
    figures: Callable[[Composed, Pairs], Mapping[str, float]] = lambda model, pairs: {}
    around: Callable[[Any], Any] = Knocked


def compare_executions(
    row: Row,
    trainings: Mapping[str, Training],
    executions: Callable[[Recorded], Mapping[str, Execution]],
    verdict_of: Callable[[Mapping[str, Arm]], Verdict | None],
    names: Sequence[str],
    seeds: Sequence[int],
    quick: bool,
    out: Path,
    labelled: int,
    further: Sequence[str] = (),
) -> CheckResult:
    """The check of a claim about execution.

    executions: of the labelled recordings. verdict_of: what the arms that were run say, if they are enough. labelled:
    demonstrations a task. further: datasets of the lab, each a kind of data.

    Raises:
        UserError: there is no such arm, or the lab lacks a dataset.
    """
    began, data = monotonic(), lab_data(quick, labelled)
    known, shape = executions(data.kinds["labelled"]), shape_of(data.kinds["labelled"])
    for name in names:
        if name not in known:
            raise UserError(f"{row.title} has no arm {name!r}: there are {', '.join(known)}")
    block = block_of(row, quick, out)
    model = shared_codec(next(iter(trainings.values())).system(shape), shape, data, out)
    more = {name: read_recorded(Dataset(dataset(name, quick)), CAMERAS, SIZE, CHUNK) for name in further}
    kinds = {kind: encoded(model, part) for kind, part in {**data.kinds, **more}.items()}
    pairs, starts = Pairs.of(data.held, PAIRS), starts_of(block, T3, EPISODES, quick)
    arms = {}
    for name in [name for name in known if not names or name in names]:
        execution, training = known[name], trainings[known[name].training]
        system = with_codec(training.system(shape), model.codecs.state_dict())
        used = {kind for stage in system.stages for kind in stage.data}
        late = {kind: part.delayed(training.delay) for kind, part in kinds.items() if kind in used}

        def figures(model: Composed, execution: Execution = execution) -> Mapping[str, float]:
            return execution.figures(model, pairs)

        judged = success(execution.use, starts, around=execution.around, max_steps=steps_of(quick))
        arms[name] = run_arm(
            name, system, shape, late, seeds, judged, out, starts, figures, f"training/{execution.training}"
        )
        print(f"{name}: {arms[name].mean:.2f} of {len(starts)} starts, {arms[name].seconds:.0f} s", flush=True)
    seconds = max(sum(arm.seconds for arm in arms.values()), monotonic() - began)
    return CheckResult(
        row, "success", tuple(arms.values()), verdict_of(arms), tuple(seeds), block, quick, seconds,
        {"demonstrations a task": float(labelled)},
    )  # fmt: skip


def asynchrony(arms: Mapping[str, Arm]) -> Verdict | None:
    """Whether a forward step under the running action makes up for what asynchrony costs, pooled over delays of one and
    two rows, and whether a noisy past is what lets video stop half-way. The arms are those of LingBot-VA."""
    delayed = ("grounded", "naive", "misled")
    needed = {"synchronous", "noisy, whole video", "clean, half", "clean, whole video"}
    if not needed | {late(name, n) for name in delayed for n in (1, 2)} <= set(arms):
        return None
    both = {name: pooled(arms, name, (1, 2)) for name in delayed}
    whole, rate = arms["synchronous"], max(arms["synchronous"].mean, 1e-6)
    sanity = [
        at_least("synchronous", whole.mean, 0.5),
        at_most("naive / synchronous", float(both["naive"].mean()) / rate, 0.7),
        at_least("grounded / synchronous", float(both["grounded"].mean()) / rate, 0.9),
        at_most("stopping costs, noisy", arms["noisy, whole video"].mean - whole.mean, 0.05),
        at_least("stopping costs, clean", arms["clean, whole video"].mean - arms["clean, half"].mean, 0.10),
        *[at_most(name, whole.figure(name), limit) for name, limit in FORWARD_LIMITS.items()],
    ]
    return judge(both, "grounded", {"naive": 0.15, "misled": 0.15}, sanity)


def pooled(arms: Mapping[str, Arm], name: str, latencies: Sequence[int]) -> np.ndarray:
    """Outcomes (seeds, starts) of an arm `name, N rows late`, the mean over the latencies."""
    return np.mean([arms[late(name, n)].outcomes for n in latencies], 0)


def late(name: str, latency: int) -> str:
    return f"{name}, {latency} row{'s' * (latency > 1)} late"


def at_most(name: str, value: float, limit: float) -> Sanity:
    return Sanity(name, value, value <= limit + ROUNDING, f"at most {limit}")


def at_least(name: str, value: float, limit: float) -> Sanity:
    return Sanity(name, value, value >= limit - ROUNDING, f"at least {limit}")


def misled(foresee: Foresight, recorded: Recorded, seed: int = 0) -> Foresight:
    """Foresight under a chunk of any recorded row in place of the running one, which says which: a check that goes on
    draws what it would have drawn."""
    known = recorded.action[recorded.labelled]

    def foresee_another(session: Session, running: np.ndarray) -> None:
        rng = np.random.default_rng((seed, crc32(running.tobytes())))
        foresee(session, known[rng.integers(len(known), size=len(running))])

    return foresee_another
