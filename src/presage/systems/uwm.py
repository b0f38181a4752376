"""Unified World Models (Zhu et al. 2025): one diffusion of action and future frame, each at a noise level of its own.

Where the action is pinned at pure noise, video without actions trains the same network; in use, what is pinned and what
is given chooses between policy, forward dynamics, inverse dynamics and video prediction.

The observation modulates every layer. At this size the one vector that does so carries too little to draw a frame, so
the present latent also stands beside the noisy future one, on its channels, and the frame is predicted as a change of
it. The network predicts clean values and not noise, whose error hardly weighs the high levels, where most is decided.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from presage.networks.composed import Composed
from presage.networks.dit import DiT, DiTConfig
from presage.networks.unchanged import Unchanged
from presage.policy.grounded import GroundedPolicy
from presage.policy.sampled import sampled
from presage.systems.lab import probes
from presage.systems.lab.check import CheckResult
from presage.systems.lab.policies import Probe, Variant, compare_policies
from presage.systems.lab.probes import Pairs
from presage.systems.parts import actions, codec_stage, conv_codec, scaled, videos
from presage.systems.system import DEBUG, SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.timeline.corruption import DDPM
from presage.timeline.levels import GIVEN, UNKNOWN, Levels, Role, Schedule, Uniform
from presage.training.loop import Optimiser
from presage.training.objectives.broken import OtherFutures
from presage.training.objectives.denoise import Denoise
from presage.training.stage import Stage

STEPS = 10
"""Of DDIM, where training has 100 (their configuration)"""
BOTH, FEW = {"labelled": 2.0, "free": 1.0}, {"labelled": 1.0}

SEES, ACTS = Uniform(0.1, "sees"), Uniform(0.1, "acts")
"""Independent levels. A tenth is at exactly 1, where policy and video mode pin what they do not ask for: with 100
uniform levels alone the network meets that one in a step of a hundred, and this training is a hundred times shorter."""
USES = Role(SEES, ACTS), Role(UNKNOWN, ACTS), Role(SEES, GIVEN, weight=0.5), Role(GIVEN, ACTS, weight=0.5)
"""Independent levels, and those of each use: of a hundred levels drawn alone, few windows have what a use gives or pins
at exactly 0 or 1, and this training is a hundred times shorter than theirs."""
JOINT = Denoise(Levels(USES), unlabelled=Levels((Role(SEES, UNKNOWN),)), clip=True)
ACTION_ONLY = Denoise(Levels((Role(UNKNOWN, ACTS),)), clip=True)
"""The same network, its future frame never anything but noise: a diffusion policy (Chi et al. 2023)"""


def uwm(shape: Shape, size: Size = SMALL, data: Mapping[str, float] = BOTH) -> System:
    def build(shape: Shape) -> Composed:
        codec = conv_codec(shape, size)
        cameras = videos(shape, codec, DDPM(100, "clean"))
        streams = [actions(shape, DDPM(100, "clean", limit=1.0), per_step=True), *cameras]
        seen = tuple(s.name for s in cameras)
        present = {name: (name,) for name in seen}
        network = DiT(DiTConfig(size.width, size.layers, size.heads, told=seen, beside=present, registers=8), streams)
        codecs = {s.source: codec for s in cameras}
        base = Unchanged(seen)
        return Composed(streams, codecs, network, shape, context=1, base=base)

    optimiser = scaled(Optimiser(steps=2000, batch=32, warmup=100), size)
    weights = {"action": 1.0, "image.*": 1.0}
    return System(
        Card.of("uwm"),
        build,
        (
            codec_stage(size, dict.fromkeys(data, 1.0)),
            Stage("joint", JOINT, data=data, window=2, weights=weights, optimiser=optimiser),
        ),
        {
            "policy": lambda model, seed: GroundedPolicy(model, sampled(Schedule.marginal(STEPS)), seed=seed),
            "joint": lambda model, seed: GroundedPolicy(model, sampled(Schedule.joint(STEPS)), seed=seed),
        },
    )


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    size = DEBUG if quick else SMALL

    policy = probes.by(Schedule.marginal(STEPS))
    alone, broken = {"action": 1.0, "image.*": 0.0}, OtherFutures(JOINT, "image.*")

    def arm(data: Mapping[str, float], **changes: Any) -> Variant:
        return Variant(lambda shape: uwm(shape, size, data).with_stage("joint", **changes), policy)

    variants = {
        "few + free": arm(BOTH),
        "few": arm(FEW),
        "action only": arm(FEW, objective=ACTION_ONLY, weights=alone),
        "few + free, other futures": arm(BOTH, objective=broken),
    }
    margins = dict.fromkeys(list(variants)[1:], 0.1)
    return compare_policies(find("uwm"), variants, margins, Probe(modes, LIMITS), arms, seeds, quick, out)


LIMITS = {
    "policy error / mean action's": 1.0,
    "inverse error / policy error": 1.0,
    "inverse error / with other futures": 0.5,
    "forward error / copied frame's, moved pixels": 1.0,
    "forward error / with other actions": 1.0,
    "video error / copied frame's, moved pixels": 1.0,
    "frames changed by another pinned action / another given one": 0.5,
}


def modes(model: Composed, pairs: Pairs) -> dict[str, float]:
    """Each use of the one network beside its trivial predictor, and what must not matter or must."""
    images = [s.name for s in model.streams if not s.acts]
    future, done = probes.truth(model, pairs, images), probes.truth(model, pairs, ["action"])
    elsewhere, undone = probes.truth(model, pairs.others, images), probes.truth(model, pairs.others, ["action"])
    forward, inverse = Schedule.forward(STEPS), Schedule.inverse(STEPS)
    act = probes.action_error(model, pairs, probes.imagine(model, pairs, Schedule.marginal(STEPS)))
    read = probes.action_error(model, pairs, probes.imagine(model, pairs, inverse, future))
    misread = probes.action_error(model, pairs, probes.imagine(model, pairs, inverse, elsewhere))
    led = probes.frame_error(model, pairs, probes.imagine(model, pairs, forward, done))
    misled = probes.frame_error(model, pairs, probes.imagine(model, pairs, forward, undone))
    copy, mean = probes.copy_error(pairs), probes.mean_action_error(model, pairs)
    video = probes.frame_error(model, pairs, probes.imagine(model, pairs, Schedule.video(STEPS)))
    values = (
        act / mean,
        read / act,
        read / misread,
        led / copy,
        led / misled,
        video / copy,
        probes.exchange(model, pairs, ["action"], images, UNKNOWN).change
        / probes.exchange(model, pairs, ["action"], images, GIVEN).change,
    )
    return dict(zip(LIMITS, values, strict=True))
