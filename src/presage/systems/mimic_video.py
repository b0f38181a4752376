"""mimic-video (2025): the hidden states of a video model that has hardly begun to denoise say what to do.

From five frames a causal transformer denoises the clip that follows. It learns from video without actions, is adapted
to the robot's few episodes, and then stands still: an action decoder reads its middle layer, and its norms follow two
noise levels, the clip's and its own. In use the clip is walked down to a chosen level; at level 1 not at all. The
newest frame stands on the channels of each token of the clip: so few steps do not teach attention where to look. The
transformer, learned here from free video, stands for Cosmos-Predict2, and 4 rows for the paper's clip. The robot's own
state is left out, so that what the decoder knows the video says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from presage.networks.composed import Composed
from presage.networks.packed import Packed
from presage.networks.transformer import Transformer, TransformerConfig
from presage.networks.unchanged import Unchanged
from presage.policy.features import foresight, headed, latents, levelled
from presage.policy.grounded import GroundedPolicy
from presage.policy.heads import TwoLevels
from presage.systems.lab.check import CheckResult
from presage.systems.lab.delays import Training, compare_executions
from presage.systems.lab.early import CODEC, RANDOM, VIDEO, Reader, early, ways
from presage.systems.lab.policies import FEW
from presage.systems.lab.readings import redrawn
from presage.systems.parts import actions, codec_stage, conv_codec, scaled, videos
from presage.systems.system import DEBUG, SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.timeline.corruption import Flow
from presage.timeline.levels import GIVEN, Beta, Levels, Role
from presage.training.loop import Optimiser
from presage.training.objectives.decode import Decode
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.imitate import Imitate, Read
from presage.training.stage import Stage

PAST, FRAMES = 5, 4
STEPS = 10
"""Of the whole way from level 1 to 0"""
ACTS = Beta(1.5, 1.0)
"""Denser towards noise, as the root of the level"""


@dataclass(frozen=True)
class LogitNormal:
    """Levels of the video, and a share at exactly 1, where it is read: theirs is at the highest noise in 5 of 100."""

    full_noise: float = 0.2

    def __call__(self, n: int, generator: torch.Generator) -> torch.Tensor:
        level = torch.randn(n, generator=generator).sigmoid()
        return torch.where(torch.rand(n, generator=generator) < self.full_noise, 1.0, level)


CLIP = Denoise(Levels((Role(LogitNormal(), GIVEN),), per_step=False), clip=True, past=PAST)


def tap_of(size: Size) -> int:
    """Layer 19 of 28."""
    return max(1, round(size.layers * 19 / 28))


def imagined(size: Size, level: float = 1.0) -> Read:
    """Hidden states of a clip that is walked from noise to a level."""
    return levelled(foresight(tap_of(size), FRAMES, round(STEPS * (1 - level)), level), level)


def mimic_video(shape: Shape, size: Size = SMALL) -> System:
    def build(shape: Shape) -> Composed:
        codec = conv_codec(shape, size)
        cameras, acts = videos(shape, codec, Flow()), actions(shape, Flow(limit=1.5), per_step=True)
        pictures = [s.name for s in cameras]
        config = TransformerConfig(size.width, size.layers, size.heads, streams=cameras, beside=pictures)
        head = TwoLevels(size.width, len(cameras) * codec.config.tokens, size.width, acts, heads=size.heads)
        codecs, base = {s.source: codec for s in cameras}, Unchanged(tuple(pictures))
        packed = Packed(Transformer(config), cameras, PAST, beside=pictures)
        return Composed([acts, *cameras], codecs, packed, shape, PAST, {"head": head}, base=base)

    video = Stage("video", CLIP, data={"free": 1.0}, window=PAST + FRAMES)
    decode = Decode(tap_of(size), FRAMES, LogitNormal(), ACTS)
    return System(
        Card.of("mimic_video"),
        build,
        (
            codec_stage(size, {"labelled": 1.0, "free": 1.0}),
            replace(video, optimiser=scaled(Optimiser(1000, 16, warmup=100), size)),
            replace(video, name="adapt", data={"labelled": 1.0}, optimiser=scaled(Optimiser(200, 16, warmup=20), size)),
            Stage("decode", decode, ("parts.head",), window=PAST + FRAMES,
                  optimiser=scaled(Optimiser(800, 32, warmup=50), size)),
        ),
        {"policy": looking(imagined(size))},
    )  # fmt: skip


def looking(read: Read) -> Callable[[Composed, int], GroundedPolicy]:
    return lambda model, seed: GroundedPolicy(model, headed(read), seed=seed, context=PAST)


def random(shape: Shape, size: Size) -> System:
    """The same decoder on a transformer of random weights."""
    system = mimic_video(shape, size)
    stages = tuple(s for s in system.stages if s.name not in ("video", "adapt"))
    return replace(system, stages=stages, build=lambda shape: redrawn(system.build(shape)))


def of_codec(shape: Shape, size: Size) -> System:
    """The same decoder on the codec's latents of the present frame."""
    system, read = mimic_video(shape, size), levelled(latents([f"image.{c}" for c in shape.cameras]), 1.0)

    def build(shape: Shape) -> Composed:
        model = system.build(shape)
        codec, (acts, *cameras) = conv_codec(shape, size).config, model.streams
        numbers = codec.token_dim * len(cameras)
        model.parts["head"] = TwoLevels(numbers, codec.tokens, size.width, acts, heads=size.heads)
        return model

    codec, *_, decode = system.stages
    clone = replace(decode, name="clone", objective=Imitate(read, levels=ACTS, draws=2), window=1)
    return replace(system, build=build, stages=(codec, clone), uses={"policy": looking(read)})


def check(names: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    size = DEBUG if quick else SMALL

    def training(make: Callable[[Shape, Size], System]) -> Training:
        return Training(lambda shape: make(shape, size))

    trainings = {VIDEO: training(mimic_video), RANDOM: training(random), CODEC: training(of_codec)}
    present = levelled(latents(("image.front", "image.top")), 1.0)
    arms = ways(Reader(partial(imagined, size), present, tap_of(size), FRAMES, PAST))
    row = find("mimic_video")
    return compare_executions(row, trainings, lambda labelled: arms, early, names, seeds, quick, out, FEW)
