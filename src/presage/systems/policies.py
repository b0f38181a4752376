"""Checks of systems whose claim is about a policy: train each arm on few labels and free video, act in the simulator.

All arms share one codec, which sees pictures alone, the few labels, the starts, and the steps of training. A call that
was killed goes on where it was; results lie in `out/<arm>/<seed>/result.json`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.networks.composed import Composed
from presage.systems.check import Arm, CheckResult, block_for
from presage.systems.files import read_json, write_json
from presage.systems.lab import T3, dataset
from presage.systems.labels import few
from presage.systems.probes import Pairs, action_error, imagine
from presage.systems.starts import Block, Start, choose_starts, tuning_block
from presage.systems.system import Shape, System
from presage.systems.table import Row
from presage.systems.verdict import Sanity, judge
from presage.timeline.levels import Schedule
from presage.training.fingerprint import entry, hash_of
from presage.training.recorded import Recorded, encoded, joined, read_recorded
from presage.training.stage import train_stages
from presage.worlds.collect import CHUNK
from presage.worlds.rollout import rollout
from presage.worlds.vector import VectorWorld

CAMERAS, PIXELS = ("front", "top"), 64
FEW = 20
"""Labelled demonstrations a task: where cloning is nearest to 0.45 on tuning starts"""
HELD = 10
"""Demonstrations a task that no arm sees"""
EPISODES, TUNING_EPISODES, BATCH = 100, 50, 50
MAX_STEPS = 40
"""Chunks after which an episode has failed; an expert needs 10 to 30"""


@dataclass(frozen=True)
class Variant:
    """An arm: a system, and how it acts."""

    system: Callable[[Shape], System]
    schedule: Schedule
    """By which its action error on held-out demonstrations is printed"""
    use: str = "policy"


@dataclass(frozen=True, eq=False)
class LabData:
    """kinds: `labelled`, few demonstrations of three tasks, and `free`, video of all others and of five further tasks.
    held: demonstrations that nobody is trained on."""

    kinds: Mapping[str, Recorded]
    held: Recorded


def lab_data(quick: bool = False, count: int = FEW) -> LabData:
    """Of the lab's datasets t3, rest and plus2.

    Raises:
        UserError: one of them was not made.
    """
    opened = {name: Dataset(dataset(name, quick)) for name in ("t3", "rest", "plus2")}
    t3, *further = [read_recorded(data, CAMERAS, PIXELS, CHUNK) for data in opened.values()]
    split = few(opened["t3"], 1 if quick else count)
    held = split.free[-(1 if quick else HELD * len(T3)) :]
    free = joined([t3.only([e for e in split.free if e not in held]), *further])
    return LabData(
        {"labelled": t3.only(split.labelled), "free": free.without_labels(range(len(free.length)))}, t3.only(held)
    )


@dataclass(frozen=True, eq=False)
class Bench:
    """What all arms of a check have in common."""

    data: LabData
    shape: Shape
    codec: Mapping[str, torch.Tensor]
    """Weights of the trained codec"""
    starts: Sequence[Start]
    tuning: Sequence[Start]
    out: Path


def compare_policies(
    row: Row,
    variants: Mapping[str, Variant],
    margins: Mapping[str, float],
    probe: Callable[[Composed, Pairs], Sequence[Sanity]],
    names: Sequence[str],
    seeds: Sequence[int],
    quick: bool,
    out: Path,
) -> CheckResult:
    """The check of a claim that the first variant succeeds more often than others, each by its margin.

    probe: lines without which the verdict means nothing, asked of the first variant's first seed and held-out rows.

    Raises:
        UserError: there is no such arm, or the lab lacks a dataset.
    """
    for name in names:
        if name not in variants:
            raise UserError(f"{row.title} has no arm {name!r}: there are {', '.join(variants)}")
    began, claimed, chosen = monotonic(), next(iter(variants)), [v for v in variants if not names or v in names]
    block = _block(row, quick, out)
    bench = _bench(variants[claimed], block, quick, out)
    found = {name: [_run(bench, name, variants[name], seed) for seed in seeds] for name in chosen}
    arms = [_arm(name, found[name]) for name in chosen]
    sanity: Sequence[Sanity] = ()
    if claimed in chosen:
        sanity = probe(_trained(bench, claimed, variants[claimed], seeds[0])[0], Pairs.of(bench.data.held, 300))
    verdict = None
    if claimed in chosen and all(name in chosen for name in margins):
        tuned = {name: found[name][0]["tuning"] for name in margins}
        verdict = judge({arm.name: arm.outcomes for arm in arms}, claimed, margins, sanity, tuned)
    rows = {kind: len(part.action) for kind, part in bench.data.kinds.items()}
    before = sum(arm.seconds for arm in arms)
    return CheckResult(
        row,
        "success",
        tuple(arms),
        verdict,
        tuple(seeds),
        block,
        quick,
        max(before, monotonic() - began),
        {f"{kind} rows": float(n) for kind, n in rows.items()} | {line.name: line.value for line in sanity},
    )


def _block(row: Row, quick: bool, out: Path) -> Block:
    """The starts of a check; one that goes on keeps those that it began with."""
    path = out / "block.json"
    if not path.exists():
        write_json(path, asdict(block_for(row, quick)))
    return Block(**read_json(path, f"remove {out}"))


def _bench(variant: Variant, block: Block, quick: bool, out: Path) -> Bench:
    data = lab_data(quick)
    shape = Shape.of(data.kinds["labelled"])
    system = variant.system(shape)
    torch.manual_seed(0)
    model = system.build(shape)
    train_stages(model, system.stages, data.kinds, out, {"data": _hash(data)}, only="codec")
    kinds = {kind: encoded(model, part) for kind, part in data.kinds.items()}
    starts, tuning = (2, 2) if quick else (EPISODES, TUNING_EPISODES)
    return Bench(
        LabData(kinds, data.held),
        shape,
        model.codecs.state_dict(),
        choose_starts(block, T3, starts),
        choose_starts(tuning_block(1), T3, tuning),
        out,
    )


def _hash(data: LabData) -> Any:
    seen = {kind: [part.action, part.labelled, part.length] for kind, part in data.kinds.items()}
    return entry("recordings", hash_of({kind: {str(i): x for i, x in enumerate(each)} for kind, each in seen.items()}))


def _trained(bench: Bench, name: str, variant: Variant, seed: int) -> tuple[Composed, System]:
    """The model of an arm, trained or read again."""
    system = variant.system(bench.shape)
    torch.manual_seed(seed)
    model = system.build(bench.shape)
    model.codecs.load_state_dict(bench.codec)
    stages = [replace(s, optimiser=replace(s.optimiser, seed=seed)) for s in system.stages if s.name != "codec"]
    made = {"data": _hash(bench.data), "codec": entry("codec", hash_of(bench.codec)), "seed": entry("seed", seed)}
    train_stages(model, stages, bench.data.kinds, bench.out / name.replace(" ", "_") / str(seed), made)
    return model, system


def _run(bench: Bench, name: str, variant: Variant, seed: int) -> dict[str, Any]:
    """Outcome of each start, and what it took."""
    path = bench.out / name.replace(" ", "_") / str(seed) / "result.json"
    if path.exists():
        return read_json(path, f"remove {path}")
    began = monotonic()
    model, system = _trained(bench, name, variant, seed)
    trained = monotonic() - began
    outcomes = _success(model, system, variant, bench.starts, seed)
    seconds = monotonic() - began
    tuning = _success(model, system, variant, bench.tuning, seed)
    pairs = Pairs.of(bench.data.held, 300)
    stage = system.stages[-1]
    found = {
        "outcomes": outcomes,
        "tuning": sum(tuning) / len(tuning),
        "action error": action_error(model, pairs, imagine(model, pairs, variant.schedule)),
        "seconds": seconds,
        "training seconds": trained,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "rows": sum(len(bench.data.kinds[kind].action) for kind in stage.data),
        "steps": stage.optimiser.steps,
    }
    write_json(path, found)
    print(f"{name}, seed {seed}: {sum(outcomes) / len(outcomes):.2f} of {len(outcomes)} starts, {seconds:.0f} s")
    return found


def _success(model: Composed, system: System, variant: Variant, starts: Sequence[Start], seed: int) -> list[float]:
    world = VectorWorld(T3, min(BATCH, len(starts)), CAMERAS, PIXELS, chunk=CHUNK)
    policy = system.uses[variant.use](model, seed)
    results = rollout(policy, world, [s.task for s in starts], [s.seed for s in starts], MAX_STEPS)
    world.close()
    return [float(r.success) for r in results]


def _arm(name: str, found: Sequence[Mapping[str, Any]]) -> Arm:
    mean = {key: sum(f[key] for f in found) / len(found) for key in ("action error", "training seconds", "tuning")}
    first = found[0]
    return Arm(
        name,
        tuple(tuple(f["outcomes"]) for f in found),
        sum(f["seconds"] for f in found),
        first["parameters"],
        first["rows"],
        first["steps"],
        mean,
    )
