"""GR-1 (Wu et al. 2023): one causal sequence in which two kinds of queries ask, at every step, what to do next and what
will be seen three rows later; nobody ever looks at a query.

Everything is regressed in one pass, and one pass is a decision: the action is an answer to the newest frame. The
network is first trained on video alone, by its picture queries, then on the robot's few demonstrations by both kinds.
The convolutional codec stands for their frozen MAE encoder, video of other episodes and tasks for Ego4D. Words are
added to every token. A picture's query stands for a patch, which a linear layer draws. Theirs sees ten steps of
history. Here a step sees itself alone unless it is told otherwise: with three rows of the past it succeeds less often
(docs/lab_log.md).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from presage.codecs.pixels import patches
from presage.networks.composed import ACTION, IMAGE, Composed
from presage.networks.packed import Packed
from presage.networks.transformer import Transformer, TransformerConfig
from presage.policy.grounded import GroundedPolicy
from presage.policy.sampled import read_off
from presage.systems.lab import probes
from presage.systems.lab.check import CheckResult
from presage.systems.lab.policies import Probe, Variant, compare_policies
from presage.systems.parts import actions, codec_stage, conv_codec, scaled, state, videos
from presage.systems.system import DEBUG, SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.timeline.attention import Rule, Tokens, both, history
from presage.timeline.corruption import Given, Regress
from presage.timeline.streams import Stream, Values
from presage.training.ahead import foreseen, normalised_patches, numbers, rows_ahead
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.stage import Stage
from presage.worlds.protocol import Policy

AHEAD, GRID = 3, 4
"""Rows that pictures are ahead; patches of a picture a side"""
FUTURE = "future."
DEMONSTRATIONS = 5
"""A task in the check: with so many, cloning is nearest to 0.45 on tuning starts (docs/lab_log.md)"""
FEW, ALL = ("labelled",), ("labelled", "free")
Before = Literal["video", "shuffled video", "nothing"]
"""What the network learned from before any action: "shuffled" has the same pictures, and no motion"""


def rule(context: int) -> Rule:
    """Causal, and a query is seen by nobody, not even by itself or by another one (their code)."""

    def unattended(q: Tokens, k: Tokens) -> torch.Tensor:
        return ~k.unseen[None].expand(len(q.step), -1)

    return both(history(context), unattended)


def gr1(shape: Shape, size: Size = SMALL, before: Before = "video", futures: bool = True, past: int = 0) -> System:
    """futures: what will be seen is asked for beside the action. past: steps that each sees beside itself."""
    pictures = [f"{IMAGE}{camera}" for camera in shape.cameras]
    targets = {FUTURE + camera: picture for camera, picture in zip(shape.cameras, pictures)} if futures else {}

    def build(shape: Shape) -> Composed:
        codec = conv_codec(shape, size)
        seen = [*videos(shape, codec, Given()), state(shape, Given())]
        chunk = replace(actions(shape, Regress("smooth"), per_step=False), acts=False, seen=False)
        asked = [Stream(name, GRID**2, numbers(shape.size, GRID), Regress("l2"), seen=False) for name in targets]
        streams = [*seen, chunk, *asked]
        network = Transformer(TransformerConfig(size.width, size.layers, size.heads, streams=streams))
        packed = Packed(network, streams, past, rule)
        return Composed(streams, dict.fromkeys(pictures, codec), packed, shape, past)

    def stage(name: str, kinds: Sequence[str], action: float, optimiser: Optimiser) -> Stage:
        made = foreseen(targets, GRID, AHEAD, kinds, shuffled=name == "shuffled video")
        weights = {ACTION: action, f"{FUTURE}*": 1.0}
        objective, optimiser = Denoise(memoryless=0.5), scaled(optimiser, size)
        return Stage(name, objective, data={"foreseen": 1.0}, make={"foreseen": made}, weights=weights, window=1 + past,
                     optimiser=optimiser)  # fmt: skip

    batch = 64 // (1 + past)
    pretraining = [] if before == "nothing" else [stage(before, ALL, 0.0, Optimiser(1000, batch, warmup=100))]
    robot = stage("robot", FEW, 10.0, Optimiser(800, batch, warmup=50))

    def act(model: Composed, seed: int) -> Policy:
        return GroundedPolicy(model, read_off(), seed=seed, context=past)

    codec = codec_stage(size, dict.fromkeys(ALL, 1.0))
    return System(Card.of("gr1"), build, (codec, *pretraining, robot), {"policy": act})


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    size, tuned = DEBUG if quick else SMALL, ("codecs", "network")

    def arm(before: Before, futures: bool = True) -> Variant:
        takes = ("codecs",) if before == "nothing" else tuned
        return Variant(lambda shape: gr1(shape, size, before, futures), answers, takes=takes)

    variants = {
        "pretrained + image loss": arm("video"),
        "image loss only": arm("nothing"),
        "pretrained on shuffled video": arm("shuffled video"),
        "neither": arm("nothing", futures=False),
    }
    margins = dict.fromkeys(("image loss only", "pretrained on shuffled video"), 0.1)
    shared = ("codec", "video", "shuffled video")
    return compare_policies(find("gr1"), variants, margins, Probe(foresees, LIMITS), arms, seeds, quick, out,
                            DEMONSTRATIONS, shared)  # fmt: skip


LIMITS = {"policy error / mean action's": 1.0, "future patches' error / copied ones', moved": 1.0}


def answers(model: Composed, pairs: probes.Pairs) -> Values:
    """What the queries say of each pair's first row, seen alone."""
    return probes.session_of(model, pairs).last.answers


def foresees(model: Composed, pairs: probes.Pairs) -> dict[str, float]:
    """The action beside the mean one, and patches in which something moves beside those of the present."""
    said = answers(model, pairs)
    act = probes.action_error(model, pairs, said) / probes.mean_action_error(model, pairs)
    later, errors = rows_ahead(pairs.recorded.length, AHEAD)[pairs.now], []
    for name in (name for name in said if name.startswith(FUTURE)):
        frames = pairs.recorded.frames[IMAGE + name.removeprefix(FUTURE)]
        now, after = (normalised_patches(torch.from_numpy(frames[rows]), GRID) for rows in (pairs.now, later))
        change = torch.from_numpy(np.abs(frames[later].astype(int) - frames[pairs.now]).max(-1, keepdims=True))
        moved = patches(change, change.shape[1] // GRID).amax(-1) > probes.MOVED
        errors.append([(x - after)[moved].square().sum() for x in (said[name].cpu(), now)])
    mine, copied = (float(sum(x)) for x in zip(*errors))
    return dict(zip(LIMITS, (act, mine / max(copied, 1e-9)), strict=True))
