"""Prediction with Action Diffuser (Guo et al. 2024, PAD): future images and the chunk of actions that leads there are
denoised together, at one level that all of them share.

The present is on channels: the current latent beside each camera's noisy future latent, the pose beside the noisy
chunk, which is one token. Video without actions trains the same network, the action's token hidden. Here 100 levels and
10 steps stand for their 1,000 and 75; the stream of depth is left out, since the lab records none. At this size the
network predicts clean values and not noise, those of a picture as a change of the present one: noise says nothing of
the value at level 1, where a dream begins, and its error hardly weighs the high levels, where a chunk is decided.
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
from presage.systems.parts import actions, codec_stage, conv_codec, scaled, state, videos
from presage.systems.system import DEBUG, SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.timeline.corruption import DDPM, Given
from presage.timeline.levels import UNKNOWN, Levels, Role, Schedule, Uniform, down, flat
from presage.training.batch import Later, Weights
from presage.training.loop import Optimiser
from presage.training.objectives.broken import OtherFutures
from presage.training.objectives.denoise import Denoise
from presage.training.stage import Stage

BOTH, FEW = {"labelled": 2.0, "free": 1.0}, {"labelled": 1.0}
LEVEL, NOW = Uniform(0.1), {"state": None}
"""One level for all that is denoised. The pose is of the present: no question holds it."""
TOGETHER, ALONE = Schedule(down(10), down(10), NOW), Schedule(flat(UNKNOWN, 10), down(10), NOW)
JOINT, NO_IMAGE = (Denoise(Levels((Role(sees, LEVEL, NOW),)), clip=True) for sees in (LEVEL, UNKNOWN))


def pad(shape: Shape, size: Size = SMALL, data: Mapping[str, float] = BOTH) -> System:
    def build(shape: Shape) -> Composed:
        codec = conv_codec(shape, size)
        cameras = videos(shape, codec, DDPM(100, "clean"))
        chunk = actions(shape, DDPM(100, "clean", limit=1.0), per_step=False)
        streams = [chunk, *cameras, state(shape, Given())]
        beside = {s.name: (s.name,) for s in cameras} | {chunk.name: ("state",)}
        network = DiT(DiTConfig(size.width, size.layers, size.heads, beside=beside, hide_missing=True), streams)
        codecs = {s.source: codec for s in cameras}
        base = Unchanged(tuple(s.name for s in cameras))
        return Composed(streams, codecs, network, shape, context=1, base=base)

    optimiser = scaled(Optimiser(steps=2000, batch=32, warmup=100), size)
    weights: Weights = {"action": Later(1.0, optimiser.steps * 3 // 20), "image.*": 1.0}
    joint = Stage("joint", JOINT, data=data, window=2, weights=weights, optimiser=optimiser)
    uses = {
        "joint": lambda model, seed: GroundedPolicy(model, sampled(TOGETHER), seed=seed),
        "no image": lambda model, seed: GroundedPolicy(model, sampled(ALONE), seed=seed),
    }
    return System(Card.of("pad"), build, (codec_stage(size, dict.fromkeys(data, 1.0)), joint), uses)


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    size = DEBUG if quick else SMALL

    def arm(data: Mapping[str, float], schedule: Schedule, use: str = "joint", **changes: Any) -> Variant:
        return Variant(lambda shape: pad(shape, size, data).with_stage("joint", **changes), probes.by(schedule), use)

    action = {"action": 1.0, "image.*": 0.0}
    variants = {
        "image + free video": arm(BOTH, TOGETHER),
        "image": arm(FEW, TOGETHER),
        "no image": arm(FEW, ALONE, "no image", objective=NO_IMAGE, weights=action),
        "image + free video, other futures": arm(BOTH, TOGETHER, objective=OtherFutures(JOINT, "image.*")),
    }
    margins = dict.fromkeys(list(variants)[1:], 0.1)
    return compare_policies(find("pad"), variants, margins, Probe(reads, LIMITS), arms, seeds, quick, out)


LIMITS = {
    "policy error / mean action's": 1.0,
    "imagined frame's error / copied frame's, moved pixels": 1.0,
    "error of the chunk / beside another future": 1.0,
}


def reads(model: Composed, pairs: probes.Pairs) -> dict[str, float]:
    """The policy and the imagined future beside their trivial predictors, and whether the chunk reads the future."""
    images = [s.name for s in model.streams if s.source.startswith("image.")]
    dream = probes.imagine(model, pairs, TOGETHER)
    act = probes.action_error(model, pairs, dream) / probes.mean_action_error(model, pairs)
    frame = probes.frame_error(model, pairs, {name: dream[name] for name in images}) / probes.copy_error(pairs)
    other = probes.exchange(model, pairs, images, ["action"], level=0.5)
    return dict(zip(LIMITS, (act, frame, other.error / other.error_after), strict=True))
