"""UniPi (Du et al. 2023): a policy is a video of what the text asks for, and the actions that lead from frame to frame.

The first frame is tiled onto every noisy keyframe of a clip, which is one question under guidance by the text; a
translator reads the chunks between two keyframes; the whole clip is executed without looking. Their second cascade,
temporal upsampling, is left out: the translator spans what it would fill in. Keyframes are latents of a codec, and
changes of the first one, where their U-Net predicts the noise of pixels. Clips grow while they are learned,
and begin in the first rows of an episode, where an open loop plans: a closed loop asks of frames that none began with.
Words reach the U-Net by one linear map: mixed by an MLP, those of a pair that was never recorded were taken for those
of the nearest one that was (docs/lab_log.md).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from presage.codecs.image import ImageCodec
from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.networks.composed import Composed
from presage.networks.unet import UNet, UNetConfig
from presage.policy.executors import open_loop, receding
from presage.policy.features import headed, latents
from presage.policy.heads import Filmed
from presage.policy.translators import ClipPlan, FramePair
from presage.systems.lab.check import CheckResult
from presage.systems.lab.clips import compare_clips
from presage.systems.parts import actions, codec_stage, conv_codec, scaled, videos
from presage.systems.system import SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.timeline.corruption import Flow, Regress
from presage.timeline.levels import GIVEN, Levels, Role, Uniform
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.imitate import Imitate
from presage.training.objectives.invert import Invert, in_a_row
from presage.training.recorded import stood_still
from presage.training.stage import Stage

KEYFRAMES, EVERY = 6, 4
"""Of a clip, and rows between two: 24 rows, as long as a demonstration"""
SHORT = 2
"""Keyframes of the clips that come first, which cost a third: they say which puck the words mean, which 10,000 whole
clips did not teach"""


def denoise(full_noise: float) -> Denoise:
    """Pure noise is where a plan is made; lower levels only sharpen it."""
    return Denoise(Levels((Role(Uniform(full_noise), GIVEN),), per_step=False), clip=True, drop_text=0.1)


def unipi(shape: Shape, size: Size = SMALL, tiled: bool = True) -> System:
    pictures = pictures_of(shape)
    invert = scaled(Optimiser(steps=1500, batch=32, warmup=50), size)
    pair, span = Invert(pictures, every=EVERY, noise=0.1), 1 + EVERY

    plan = plan_of(shape)
    return System(
        Card.of("unipi"),
        lambda shape: planner(shape, conv_codec(shape, size), size, 2, tiled, plain=True),
        (
            codec_stage(size, {"labelled": 1.0}, 600),
            *clip_stages(size, steps=(1200, 3000)),
            Stage("invert", pair, ("parts.translator",), window=span, optimiser=invert),
        ),
        {"open loop": open_loop(plan), "closed loop": open_loop(plan, EVERY)},
    )


def clip_stages(size: Size, kinds: Sequence[str] = ("labelled",), *, steps: tuple[int, int]) -> tuple[Stage, Stage]:
    """`short` and `video`: keyframes from the first rows of episodes on, of videos of some kinds."""
    stages = []
    for name, full_noise, length, training in (
        ("short", 0.8, SHORT, Optimiser(steps[0], 16, warmup=100)),
        ("video", 0.6, KEYFRAMES, Optimiser(steps[1], 8, warmup=100)),
    ):
        still = {f"still {kind}": stood_still(kind, length * EVERY) for kind in kinds}
        video = Stage(name, denoise(full_noise), data=dict.fromkeys(still, 1.0), make=still)
        video = replace(video, optimiser=scaled(training, size))
        stages.append(replace(video, window=1 + length, stride=EVERY, starts=EVERY))
    return stages[0], stages[1]


def planner(
    shape: Shape, codec: ImageCodec | PixelCodec, size: Size, fold: int = 1, tiled: bool = True, plain: bool = False
) -> Composed:
    """A latent video U-Net and a translator of frame pairs. plain: words reach the U-Net by one linear map."""
    cameras, acts = videos(shape, codec, Flow(floor=1.0)), actions(shape, Regress("l2"), per_step=False)
    widths = (4 * size.channels, 6 * size.channels)
    layers = max(1, size.layers // 2)
    network = UNetConfig(pictures_of(shape), widths, size.width, layers, size.heads, past=1, fold=fold)
    config = replace(network, tiled=tiled, plain_words=plain)
    numbers = codec.config.token_dim * len(cameras)
    between = in_a_row(acts, EVERY)
    return Composed(
        [acts, *cameras],
        {s.source: codec for s in cameras},
        UNet(cameras, config),
        shape,
        context=1,
        parts={"translator": FramePair(codec.config.tokens, numbers, 4 * size.channels, between)},
    )


def pictures_of(shape: Shape) -> tuple[str, ...]:
    return tuple(f"image.{camera}" for camera in shape.cameras)


def plan_of(shape: Shape) -> ClipPlan:
    return ClipPlan(pictures_of(shape), KEYFRAMES, EVERY, steps=10, scale=2.0)


def cloning(shape: Shape, size: Size = SMALL) -> System:
    """The control: the same rows, frames and words, nearly as long a training, and the chunk read at once, from pixels,
    by convolutions that the words modulate."""
    pictures = pictures_of(shape)

    def build(shape: Shape) -> Composed:
        codec = PixelCodec(PixelCodecConfig(shape.size, max(1, shape.size // 16)))
        model, c = planner(shape, codec, size), size.channels
        acts, *cameras = model.streams
        numbers = codec.config.token_dim * len(cameras)
        model.parts["head"] = Filmed(codec.config.tokens, numbers, (2 * c, 3 * c, 4 * c), acts)
        return model

    optimiser = scaled(Optimiser(steps=9000, batch=32, warmup=50), size)
    stage = Stage("clone", Imitate(latents(pictures)), ("parts.head",), window=1, optimiser=optimiser)
    return System(Card.of("unipi"), build, (stage,), {"policy": receding(headed(latents(pictures), steps=1))})


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    return compare_clips(find("unipi"), unipi, cloning, plan_of, EVERY, arms, seeds, quick, out)
