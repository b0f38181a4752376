"""UniPi (Du et al. 2023): a policy is a video of what the text asks for, and the actions that lead from frame to frame.

The first frame is tiled onto every noisy keyframe of a clip, which is one question under guidance by the text; a
translator reads the chunks between two keyframes; the whole clip is executed without looking. Their second cascade,
temporal upsampling, is left out: the translator spans what it would fill in. Frames are predicted as changes of the
first one, where their U-Net predicts noise.
"""

from collections.abc import Sequence
from pathlib import Path

from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.networks.composed import Composed
from presage.networks.unet import UNet, UNetConfig
from presage.policy.executors import open_loop, receding
from presage.policy.features import headed, latents
from presage.policy.heads import ActionTransformer, Convolved, VideoFormer
from presage.policy.translators import ClipPlan, FramePair
from presage.systems.lab.check import CheckResult
from presage.systems.lab.clips import compare_clips
from presage.systems.parts import actions, scaled, videos
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
VIDEO = Denoise(Levels((Role(Uniform(0.2), GIVEN),), per_step=False), clip=True, drop_text=0.1)


def unipi(shape: Shape, size: Size = SMALL, tiled: bool = True) -> System:
    pictures = tuple(f"image.{camera}" for camera in shape.cameras)

    def build(shape: Shape) -> Composed:
        codec = PixelCodec(PixelCodecConfig(shape.size, max(1, shape.size // 16)))
        cameras, acts = videos(shape, codec, Flow()), actions(shape, Regress("l2"), per_step=False)
        widths = (size.channels, 2 * size.channels, 3 * size.channels)
        config = UNetConfig(pictures, widths, size.width, max(1, size.layers - 2), size.heads, past=1, tiled=tiled)
        numbers = codec.config.token_dim * len(cameras)
        return Composed(
            [acts, *cameras],
            {s.source: codec for s in cameras},
            UNet(cameras, config),
            shape.action_codec,
            shape.state_codec,
            (shape.chunk, shape.action_dim),
            context=1,
            parts={"translator": FramePair(codec.config.tokens, numbers, 2 * size.channels, in_a_row(acts, EVERY))},
        )

    video = scaled(Optimiser(steps=1000, batch=16, warmup=100), size)
    invert = scaled(Optimiser(steps=1500, batch=32, warmup=50), size)
    still = {"still": stood_still("labelled", (KEYFRAMES // 2) * EVERY)}
    pair, span = Invert(pictures, every=EVERY, noise=0.1), 1 + EVERY
    plan = plan_of(shape)
    return System(
        Card.of("unipi"),
        build,
        (
            Stage("video", VIDEO, data={"still": 1.0}, make=still, window=1 + KEYFRAMES, stride=EVERY, optimiser=video),
            Stage("invert", pair, ("parts.translator",), window=span, optimiser=invert),
        ),
        {"open loop": open_loop(plan), "closed loop": open_loop(plan, EVERY)},
    )


def plan_of(shape: Shape) -> ClipPlan:
    return ClipPlan(tuple(f"image.{camera}" for camera in shape.cameras), KEYFRAMES, EVERY, steps=10, scale=2.0)


def cloning(shape: Shape, size: Size = SMALL) -> System:
    """The control: the same rows, frames and words, and the chunk read at once."""
    pictures = [f"image.{camera}" for camera in shape.cameras]

    def build(shape: Shape) -> Composed:
        model = unipi(shape, size).build(shape)
        (acts, *cameras), width = model.streams, size.width
        former = VideoFormer(width, width, heads=size.heads, places=16)
        head = ActionTransformer(former, width, acts, heads=size.heads)
        model.parts["head"] = Convolved(cameras[0].tokens, cameras[0].dim * len(cameras), width, head)
        return model

    optimiser = scaled(Optimiser(steps=1500, batch=32, warmup=50), size)
    stage = Stage("clone", Imitate(latents(pictures)), ("parts.head",), window=1, optimiser=optimiser)
    return System(Card.of("unipi"), build, (stage,), {"policy": receding(headed(latents(pictures), steps=1))})


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    return compare_clips(find("unipi"), unipi, cloning, plan_of, EVERY, arms, seeds, quick, out)
