"""Fit a system to anybody's data: which dataset is of which kind, all of its stages, and a checkpoint at the end."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from presage.errors import UserError
from presage.networks.composed import STATE, Composed, Shape
from presage.systems.checkpoint import open_system, save_system, system_of
from presage.systems.lab.arms import trained
from presage.systems.system import Card, System
from presage.training.checkpoint import WEIGHTS, read_config, read_weights
from presage.training.data import taught
from presage.training.fingerprint import Fingerprint, entry
from presage.training.recorded import Recorded, joined, shape_of
from presage.training.resume import require_same_run
from presage.training.stage import Stage

LABELLED, FREE, NOISE = "labelled", "free", "noise"
"""Kinds of data that stages ask for: with actions, video alone, and actions that nobody should imitate."""


LEAST = 0.5
"""Share of the weights that `--pretrained` has to give"""


@dataclass(frozen=True)
class Fitted:
    """What a training left.

    checkpoint: None where stages are still to be trained. stages: name -> the last line of its log. uses: the ways to
    act that it was trained for.
    """

    checkpoint: Path | None
    stages: Mapping[str, Mapping[str, float]]
    uses: Sequence[str]


def settings_of(name: str, size: str, seed: int, datasets: int) -> Fingerprint:
    """What is known of a training of a system before any data is read."""
    values = {"--system": name, "--size": size, "--seed": seed, "number of datasets": datasets}
    return {f"fit.{words}": entry(words, value) for words, value in values.items()}


def fit_system(
    name: str,
    size: str,
    parts: Sequence[tuple[str, Recorded]],
    seed: int,
    out: Path,
    made_from: Fingerprint,
    card: Callable[[Mapping[str, Mapping[str, float]]], str] = lambda stages: "",
    only: str | None = None,
    extra: Mapping[str, Any] | None = None,
    start: Path | None = None,
    steps: int | None = None,
    pretrained: Path | None = None,
) -> Fitted:
    """Train all stages of a system, each resumed from `out/<stage>`, and write the checkpoint `out/model`.

    Args:
        size: of `SIZES`.
        parts: name and content of each dataset.
        made_from: what is known of the data beside what is learned from it.
        card: gives the text of `card.md` from the last log line of each stage.
        only: the stage of that name, on the finished ones before it, or on `start`.
        extra: what else `config.json` is to hold.
        start: a checkpoint of this system to go on with: its weights, size and codecs are kept.
        steps: of the stage `only` on `start`, in place of the recipe's.
        pretrained: a checkpoint of this system, maybe of another robot; those of its weights that fit are begun with.

    Raises:
        UserError: the system has no recipe, the data do not fit it, or `out` holds what was made from something else.
    """
    require_same_run(out, made_from)
    acting = [part for _, part in parts if part.labelled.any()]
    if not acting:
        raise UserError(f"{_names(parts)}: no row has an action, so there is nothing to act by; see --action")
    kinds = kinds_of(parts, system_of(name, shape_of(acting[0]), size).stages)
    shape, weights = shape_of(kinds[LABELLED]), None
    if start is not None:
        begun, size = _begun(start, name, shape)
        shape, weights = begun.shape, begun.state_dict()
        made_from = made_from | {"start": entry(f"weights of --start-from {start}", read_weights(start / WEIGHTS))}
    _check_units(parts, shape)
    system = system_of(name, shape, size)
    if pretrained is not None:
        weights = carried(pretrained, system, shape, size)
        made_from = made_from | {"pretrained": entry(f"weights of --pretrained {pretrained}", weights)}
    chosen = system.stages if start is None or only is None else (_lengthened(system, only, steps),)
    stages, notes = with_what_there_is(chosen, kinds)
    streams = system.build(replace(shape, state_dim=shape.state_dim or 1)).streams
    if not shape.state_dim and any(stream.source == STATE for stream in streams):
        raise UserError(f"--system {name} reads the robot's state, and the data have none: name it with --state")
    print("".join(f"{line}\n" for line in notes), end="", flush=True)
    model = trained(replace(system, stages=stages), shape, kinds, seed, out, made_from, only, weights)
    done = {stage.name: last_log(out / stage.name) for stage in stages}
    done = {name: line for name, line in done.items() if line}
    if only not in (None, stages[-1].name):
        return Fitted(None, done, list(system.uses))
    folder = save_system(model, name, shape, size, out / "model", card(done), extra or {})
    return Fitted(folder, done, list(system.uses))


def _check_units(parts: Sequence[tuple[str, Recorded]], shape: Shape) -> None:
    """Say what lies so far out that it is trained as less.

    Raises:
        UserError: so much does that units must differ from those that the codecs were fitted on.
    """
    for name, part in parts:
        taught(shape.action_codec, part.action.reshape(len(part.action), -1), part.labelled, f"{name}: 'action'")
        if shape.state_dim:
            taught(shape.state_codec, part.state, part.labelled, f"{name}: 'observation.state'")


def _begun(start: Path, name: str, asked: Shape) -> tuple[Composed, str]:
    """The model of a checkpoint and its size; its codecs may be others than the data would have."""
    model = _of_system(f"--start-from {start}", start, Card.of(name))
    if replace(model.shape, action_codec=asked.action_codec, state_codec=asked.state_codec) != asked:
        raise UserError(f"--start-from {start}: its cameras, rates, actions or state are others than those of the data")
    return model, str(read_config(start)["size"])


def _of_system(option: str, folder: Path, card: Card) -> Composed:
    """The model of a checkpoint that has to be of a system."""
    found, model = open_system(folder)
    if found.card != card:
        raise UserError(f"{option} holds the system {found.card.name}: name that one with --system")
    return model


def carried(pretrained: Path, system: System, shape: Shape, size: str) -> dict[str, Tensor]:
    """Those weights of a checkpoint that have the same name and shape in a model of `system` for data of a shape. What
    depends on the robot's numbers or cameras is not among them.

    Raises:
        UserError: it is of another system, or its networks are of another size, so that hardly anything fits.
    """
    theirs = _of_system(f"--pretrained {pretrained}", pretrained, system.card).state_dict()
    mine = system.build(shape).state_dict()
    fit = {name: x for name, x in theirs.items() if name in mine and mine[name].shape == x.shape}
    share = sum(x.numel() for x in fit.values()) / sum(x.numel() for x in mine.values())
    if share < LEAST:
        its = read_config(pretrained)["size"]
        raise UserError(
            f"--pretrained {pretrained}: {share:.0%} of the weights fit networks of --size {size}, and it has those of "
            f"{its}: leave out --size"
        )
    print(f"begins with the weights of {pretrained} where they fit ({share:.0%}); what the robot decides is new")
    return fit


def _lengthened(system: System, name: str, steps: int | None) -> Stage:
    """The stage of a system, with other steps where some are given."""
    stages = {stage.name: stage for stage in system.stages}
    if name not in stages:
        raise UserError(f"--only {name}: stages are {', '.join(stages)}")
    stage = stages[name]
    return stage if steps is None else replace(stage, optimiser=replace(stage.optimiser, steps=steps))


def kinds_of(parts: Sequence[tuple[str, Recorded]], stages: Sequence[Stage]) -> dict[str, Recorded]:
    """Kind -> all datasets of that kind, one behind the other. A dataset without any action is video alone (`free`);
    one of which nothing is to be imitated is `noise`, if a stage asks for that.

    Raises:
        UserError: robots differ, or no dataset is left to learn behaviour from.
    """
    kinds: dict[str, list[Recorded]] = {}
    asked = {kind for stage in stages for kind in stage.data}
    for name, part in parts:
        if np.isnan(part.action[part.labelled]).any() or np.isnan(part.state[part.labelled]).any():
            raise UserError(f"{name}: datasets differ in their numbers; choose those that all have (--action, --state)")
        poor = bool((part.quality[part.labelled] < 0.5).all())
        kind = FREE if not part.labelled.any() else NOISE if poor and NOISE in asked else LABELLED
        kinds.setdefault(kind, []).append(replace(part, state=np.nan_to_num(part.state)))
    if LABELLED not in kinds:
        raise UserError(f"{_names(parts)}: no chunk is worth imitating: all have quality 0, or their episodes failed")
    return {kind: joined(each) for kind, each in kinds.items()}


def with_what_there_is(stages: Sequence[Stage], kinds: Mapping[str, Recorded]) -> tuple[tuple[Stage, ...], list[str]]:
    """The stages without the kinds of data that are not there, and a line about each that lacks some, and about data
    that none asks for. A stage that is left with nothing takes what is labelled."""
    idle = [kind for kind in kinds if kind != LABELLED and all(kind not in stage.data for stage in stages)]
    out, lines = [], [f"data of kind {kind} are not used: no stage asks for them" for kind in idle]
    for stage in stages:
        if stage.outcomes and not any(np.isfinite(part.left).any() for part in kinds.values()):
            lines.append(f"stage {stage.name}: no outcome is known (next.success), so the model will say none")
            continue
        there = {kind: share for kind, share in stage.data.items() if kind in kinds or kind in stage.make}
        missing = [kind for kind in stage.data if kind not in there]
        there = there or {LABELLED: 1.0}
        if missing:
            lines.append(f"stage {stage.name}: no data of kind {', '.join(missing)}, it learns from {', '.join(there)}")
        out.append(replace(stage, data=there))
    return tuple(out), lines


def last_log(folder: Path) -> dict[str, float]:
    """The last line of a stage's log; empty before its first."""
    path = folder / "log.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    line: dict[str, float] = json.loads(lines[-1]) if lines else {}
    return line


def _names(parts: Sequence[tuple[str, Recorded]]) -> str:
    return ", ".join(name for name, _ in parts)
