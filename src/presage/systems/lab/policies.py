"""Checks of systems whose claim is that video makes a better policy: few labels, free video, acting in the simulator.

All arms share one codec, which sees pictures alone, the few labels, the starts and the steps of training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import torch

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.networks.composed import Composed
from presage.systems.lab.arms import CAMERAS, CHUNK, SIZE, Judge, run_arm, starts_of, steps_of, success
from presage.systems.lab.check import Arm, CheckResult, block_of
from presage.systems.lab.datasets import T3, dataset
from presage.systems.lab.labels import few
from presage.systems.lab.probes import Pairs, action_error
from presage.systems.lab.starts import tuning_block
from presage.systems.lab.verdict import Sanity, judge
from presage.systems.system import Shape, System
from presage.systems.table import Row
from presage.timeline.streams import Values
from presage.training.fingerprint import entry
from presage.training.recorded import Recorded, encoded, joined, read_recorded, shape_of
from presage.training.stage import train_stages

FEW = 20
"""Labelled demonstrations a task: where cloning is nearest to 0.45 on tuning starts"""
HELD = 10
"""Demonstrations a task that no arm sees"""
EPISODES, TUNING_EPISODES, PAIRS = 100, 60, 300
CODEC, TUNING = "codec", "on tuning starts"


@dataclass(frozen=True)
class Variant:
    """An arm: a system, what it would do after held-out rows (its action error is printed), and how it acts.

    takes: parts of the model whose weights it takes from the shared stages.
    """

    system: Callable[[Shape], System]
    ask: Callable[[Composed, Pairs], Values]
    use: str = "policy"
    takes: tuple[str, ...] = ("codecs",)


@dataclass(frozen=True)
class Probe:
    """What a model must be able to, or the verdict means nothing: figures of held-out pairs, each below its limit."""

    ask: Callable[[Composed, Pairs], Mapping[str, float]]
    limits: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class LabData:
    """kinds: `labelled`, few demonstrations of three tasks, and `free`, video of all others and of five further tasks.
    held: demonstrations that nobody is trained on."""

    kinds: Mapping[str, Recorded]
    held: Recorded


def lab_data(quick: bool, labelled: int) -> LabData:
    """Of the lab's datasets t3, rest and plus2, with so many labelled demonstrations a task.

    Raises:
        UserError: one of them was not made.
    """
    opened = [Dataset(dataset(name, quick)) for name in ("t3", "rest", "plus2")]
    t3, *further = [read_recorded(data, CAMERAS, SIZE, CHUNK) for data in opened]
    split = few(opened[0], 1 if quick else labelled)
    of = {task: [e for e in split.free if t3.task[e] == task] for task in T3}
    held = split.free[-1:] if quick else [e for each in of.values() for e in each[-HELD:]]
    free = joined([t3.only([e for e in split.free if e not in held]), *further])
    kinds = {"labelled": t3.only(split.labelled), "free": free.without_labels(range(len(free.length)))}
    return LabData(kinds, t3.only(held))


def compare_policies(
    row: Row,
    variants: Mapping[str, Variant],
    margins: Mapping[str, float],
    probe: Probe,
    names: Sequence[str],
    seeds: Sequence[int],
    quick: bool,
    out: Path,
    labelled: int = FEW,
    shared: Sequence[str] = (CODEC,),
    further: Mapping[str, Recorded] | None = None,
) -> CheckResult:
    """The check of the claim that the first variant succeeds more often than others, each by its margin.

    probe: asked of every seed of the first variant. labelled: demonstrations a task. shared: stages that are trained
    once, for all arms that have the same of them; the first one makes the codec of all. further: kinds of data beside
    `labelled` and `free`.

    Raises:
        UserError: there is no such arm, or the lab lacks a dataset.
    """
    for name in names:
        if name not in variants:
            raise UserError(f"{row.title} has no arm {name!r}: there are {', '.join(variants)}")
    began, claimed = monotonic(), next(iter(variants))
    data, block = lab_data(quick, labelled), block_of(row, quick, out)
    data = replace(data, kinds={**data.kinds, **(further or {})})
    shape = shape_of(data.kinds["labelled"])
    first = variants[claimed].system(shape)
    model = _shared(first, shape, data, shared[:1], out)
    codec = next(s for s in first.stages if s.name == shared[0])
    kinds = {kind: encoded(model, part) for kind, part in data.kinds.items()}
    pairs, starts = Pairs.of(data.held, PAIRS), starts_of(block, T3, EPISODES, quick)
    most = steps_of(quick)
    tuning = starts_of(tuning_block(1), T3, TUNING_EPISODES, quick)
    arms = {}
    bases: dict[tuple[str, ...], Composed] = {(): model}
    for name in [name for name in variants if not names or name in names]:
        variant = variants[name]
        whole = variant.system(shape)
        more = tuple(s for s in whole.stages if s.name in shared[1:])
        before = tuple(s.name for s in more)
        if before not in bases:
            coded = replace(data, kinds=kinds)
            bases[before] = _shared(replace(whole, stages=(codec, *more)), shape, coded, before, out)
        system = _taking(whole, variant.takes, bases[before].state_dict(), shared)
        use = system.uses[variant.use]
        figures = _figures(
            success(use, tuning, max_steps=most), variant.ask, pairs, probe.ask if name == claimed else None
        )
        judge_policy = success(use, starts, max_steps=most)
        read = {kind: part for kind, part in kinds.items() if kind in system.stages[-1].data}
        used = read or {"labelled": kinds["labelled"]}  # what a stage makes, it makes of labelled rows
        arms[name] = run_arm(name, system, shape, used, seeds, judge_policy, out, starts, figures)
        print(f"{name}: {arms[name].mean:.2f} of {len(starts)} starts, {arms[name].seconds:.0f} s", flush=True)
    sanity: list[Sanity] = []
    if claimed in arms:
        arms[claimed], sanity = _parted(arms[claimed], probe)
    verdict = None
    if {claimed, *margins} <= set(arms):
        tuned = {name: arms[name].figure(TUNING) for name in margins}
        verdict = judge({name: arm.outcomes for name, arm in arms.items()}, claimed, margins, sanity, tuned)
    seconds = max(sum(arm.seconds for arm in arms.values()), monotonic() - began)
    beside = {f"{kind} rows": float(len(part.action)) for kind, part in kinds.items()}
    return CheckResult(row, "success", tuple(arms.values()), verdict, tuple(seeds), block, quick, seconds, beside)


def _figures(
    tuned: Judge,
    ask: Callable[[Composed, Pairs], Values],
    pairs: Pairs,
    probe: Callable[[Composed, Pairs], Mapping[str, float]] | None,
) -> Callable[[Composed], Mapping[str, float]]:
    def figures(model: Composed) -> Mapping[str, float]:
        outcomes = tuned(model, 0)
        error = action_error(model, pairs, ask(model, pairs))
        asked = {} if probe is None else probe(model, pairs)
        return {TUNING: sum(outcomes) / len(outcomes), "action error": error, **asked}

    return figures


def _parted(arm: Arm, probe: Probe) -> tuple[Arm, list[Sanity]]:
    """The arm without the figures of its probe, and those as lines of sanity."""
    values = {name: arm.figure(name) for name in probe.limits}
    lines = [
        Sanity(name, value, value < probe.limits[name], f"below {probe.limits[name]}") for name, value in values.items()
    ]
    return replace(arm, figures={k: x for k, x in arm.figures.items() if k not in values}), lines


def shared_codec(system: System, shape: Shape, data: LabData, out: Path) -> Composed:
    """A model whose codec is trained, on pictures alone."""
    return _shared(system, shape, data, (CODEC,), out)


def _shared(system: System, shape: Shape, data: LabData, stages: Sequence[str], out: Path) -> Composed:
    """A model in which all stages up to the last shared one are trained. The codec comes first, so that no later stage
    codes pictures again."""
    torch.manual_seed(0)
    model, kinds = system.build(shape), data.kinds
    made = {f"data.{kind}": entry(f"data {kind}", _uncoded(part).fingerprint) for kind, part in kinds.items()}
    names = [stage.name for stage in system.stages]
    last = 1 + max(names.index(name) for name in stages)
    train_stages(model, system.stages[:1], kinds, out, made)
    if last > 1:
        kinds = {kind: encoded(model, part) for kind, part in kinds.items()}
        train_stages(model, system.stages[:last], kinds, out, made)
    return model


def _uncoded(part: Recorded) -> Recorded:
    """As it was before pictures were coded: those who begin with coded ones share the codec's own stage too."""
    return replace(part, latents={name: x for name, x in part.latents.items() if name not in part.frames})


def with_codec(system: System, weights: Mapping[str, torch.Tensor]) -> System:
    """The same, its codec trained already."""

    def build(shape: Shape) -> Composed:
        model = system.build(shape)
        model.codecs.load_state_dict(weights)
        return model

    return replace(system, build=build, stages=tuple(s for s in system.stages if s.name != CODEC))


def _taking(system: System, takes: Sequence[str], weights: Mapping[str, torch.Tensor], shared: Sequence[str]) -> System:
    """The system of an arm, its shared stages trained already."""
    taken = {name: x for name, x in weights.items() if name.split(".")[0] in takes}

    def build(shape: Shape) -> Composed:
        model = system.build(shape)
        model.load_state_dict(taken, strict=False)
        return model

    return replace(system, build=build, stages=tuple(s for s in system.stages if s.name not in shared))
