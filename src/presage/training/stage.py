"""Stages: what is trained on what, to do what. Training a system is a `for` over its stages, on one loop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from presage.episodes.mixture import Drawn, Mixture
from presage.episodes.windows import Windows
from presage.errors import UserError
from presage.networks.composed import Composed
from presage.training.batch import Batch, Terms, Weights
from presage.training.fingerprint import Fingerprint, described, entry, hash_of
from presage.training.held import held, pick
from presage.training.loop import Optimiser, load_finished, optimise
from presage.training.recorded import Recorded, emphasised, encoded
from presage.training.resume import read_run


class Objective(Protocol):
    """What a stage asks of a model: named terms of a batch, with the random numbers of the step."""

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms: ...


Make = Callable[[Composed, Mapping[str, Recorded]], Recorded]
"""Data that an earlier stage's model makes: dreams, labels, rollouts"""


@dataclass(frozen=True)
class Stage:
    name: str
    objective: Objective
    modules: tuple[str, ...] = ("network",)
    """Attributes of the model that are trained; all else stands still. `parts.head` is the part of that name."""
    data: Mapping[str, float] = field(default_factory=lambda: {"labelled": 1.0})
    """Kind of data -> share of the windows"""
    make: Mapping[str, Make] = field(default_factory=dict)
    """Kinds of data that are made when the stage begins"""
    window: int = 4
    """Rows of a window"""
    stride: int = 1
    """Of its rows: keyframes that are so many rows apart"""
    back: int = 0
    """Above 0, the first of its rows is one of so many before the second: what a long session remembers"""
    before: int = 0
    """Windows may begin so many rows before an episode, where its first row is repeated"""
    starts: int = 0
    """Windows begin in the first so many rows of an episode, as a plan does that is made once; 0: anywhere"""
    weights: Weights = field(default_factory=lambda: {"*": 1.0})
    """Of the objective's terms, by pattern; those of one pattern are averaged"""
    optimiser: Optimiser = Optimiser(steps=1000, batch=32, warmup=50)
    begin: Callable[[Composed], None] | None = None
    """What is done to the model before the first step: weights that start from others"""
    emphasis: float = 1.0
    """Above 1, the rarer a pixel's colour, the more it counts, up to so much"""
    raw: bool = False
    """Batches hold pictures in place of cameras' values: the codec itself is trained, or pictures are read otherwise"""
    outcomes: bool = False
    """It is about success: where no row's outcome is known, there is nothing to learn"""


def train_stages(
    model: Composed,
    stages: Sequence[Stage],
    data: Mapping[str, Recorded],
    out: Path,
    made_from: Fingerprint,
    only: str | None = None,
    quiet: bool = False,
) -> Composed:
    """Fit `model` in place, stage by stage; each resumes from `out/<stage>`. One that is finished is loaded, and its
    data are not made again.

    made_from: the data and whatever else the weights follow from. only: the stage of that name, on the weights of those
    before it, which are finished.

    Raises:
        UserError: there is no such stage, or no such data, or a stage before it is not finished; see `optimise`.
    """
    names = [s.name for s in stages]
    if only is not None and only not in names:
        raise UserError(f"--only {only}: stages are {', '.join(names)}")
    made = dict(made_from)
    for stage in stages if only is None else stages[: names.index(only) + 1]:
        if only not in (None, stage.name) and not finished(stage, out):
            raise UserError(f"--only {only}: stage {stage.name} comes before it and is not finished in {out}")
        _train(model, stage, data, out / stage.name, made, quiet)
        made[f"stage.{stage.name}"] = entry(f"stage {stage.name}", hash_of(described(stage)))
    return model.eval()


def finished(stage: Stage, out: Path) -> bool:
    """Whether all of its steps are done, in `out/<stage>`."""
    return bool(read_run(out / stage.name).get("step", 0) >= stage.optimiser.steps)


def _train(
    model: Composed, stage: Stage, data: Mapping[str, Recorded], out: Path, made_from: Fingerprint, quiet: bool
) -> None:
    there = dict.fromkeys((*data, *stage.make))
    missing = [kind for kind in stage.data if kind not in there]
    if missing:
        raise UserError(f"stage {stage.name}: no data of kind {missing[0]!r}; there are {', '.join(there)}")
    config = stage.optimiser
    made = made_from | {
        "objective": entry(f"stage {stage.name}", hash_of(described(replace(stage, optimiser=Optimiser()))))
    }
    if finished(stage, out.parent) and not stage.outcomes:  # outcomes come with the data, and are checked
        load_finished(_to_train(model, stage), config, out, made)
        model.requires_grad_(False)
        return
    kinds = {**data, **{kind: make(model, data) for kind, make in stage.make.items()}}
    parts = [kinds[kind] for kind in stage.data]
    if not stage.raw:
        parts = [encoded(model, part) for part in parts]
    if stage.emphasis > 1:
        parts = [emphasised(part, stage.emphasis) for part in parts]
    rows = [held(model, part) for part in parts]
    windows = [
        Windows(part.length, stage.window, stage.stride, config.seed, stage.starts, stage.back, stage.before)
        for part in parts
    ]
    mixture = Mixture(windows, list(stage.data.values()), config.seed)
    if stage.begin is not None:  # a stage that is resumed overwrites it
        stage.begin(model)
    trained = _to_train(model, stage)

    def objective(drawn: Drawn, generator: torch.Generator) -> Terms:
        return stage.objective(model, pick(model, rows, drawn, stage.raw), generator)

    if stage.outcomes:
        made["outcomes"] = entry("recorded outcomes", hash_of([hash_of(part.left) for part in parts]))
    optimise(trained, objective, mixture, stage.weights, config, out, made, stage.name, quiet)
    model.requires_grad_(False)


def _to_train(model: Composed, stage: Stage) -> nn.ModuleList:
    """What a stage trains; all else stands still."""
    trained = nn.ModuleList([model.get_submodule(name) for name in stage.modules])
    model.requires_grad_(False)
    trained.requires_grad_(True)
    return trained
