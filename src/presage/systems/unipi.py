"""UniPi (Du et al. 2023): a policy is a video of what the text asks for, and what leads from frame to frame of it.

The first frame is tiled onto every noisy frame of the clip, which is one question under guidance by the text; a
translator reads the chunk between two frames; the whole clip is executed without looking. Their cascade of keyframes
and temporal upsampling is left out: a clip of eight frames is one question. Frames are predicted as changes of the
first one, where their U-Net predicts noise.
"""

from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.networks.composed import Composed
from presage.networks.unet import UNet, UNetConfig
from presage.policy.executors import open_loop
from presage.policy.features import headed, latents
from presage.policy.executors import receding
from presage.policy.heads import ActionTransformer, VideoFormer
from presage.policy.translators import ClipPlan, FramePair
from presage.systems.parts import actions, scaled, videos
from presage.systems.system import SMALL, Card, Shape, Size, System
from presage.timeline.corruption import Flow, Regress
from presage.timeline.levels import GIVEN, Levels, Role, Uniform
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.imitate import Imitate
from presage.training.objectives.invert import Invert
from presage.training.stage import Stage

LENGTH = 8
"""Frames of a clip after the first"""
VIDEO = Denoise(Levels((Role(Uniform(0.2), GIVEN),), per_step=False), clip=True, drop_text=0.1)


def unipi(shape: Shape, size: Size = SMALL, tiled: bool = True) -> System:
    patch = max(1, shape.size // 16)
    pictures = tuple(f"image.{camera}" for camera in shape.cameras)

    def build(shape: Shape) -> Composed:
        codec = PixelCodec(PixelCodecConfig(shape.size, patch))
        cameras, acts = videos(shape, codec, Flow()), actions(shape, Regress("l2"), per_step=False)
        widths = (size.channels, 2 * size.channels, 3 * size.channels)
        config = UNetConfig(pictures, widths, size.width, max(1, size.layers - 2), size.heads, past=1, tiled=tiled)
        translator = FramePair(codec.config.tokens, codec.config.token_dim * len(cameras), 2 * size.channels, acts)
        return Composed(
            [acts, *cameras],
            {s.source: codec for s in cameras},
            UNet(cameras, config),
            shape.action_codec,
            shape.state_codec,
            (shape.chunk, shape.action_dim),
            context=1,
            parts={"translator": translator},
        )

    video = scaled(Optimiser(steps=2000, batch=16, warmup=100), size)
    invert = scaled(Optimiser(steps=800, batch=32, warmup=50), size)
    plan = ClipPlan(pictures, LENGTH, steps=10, scale=2.0)
    return System(
        Card.of("unipi"),
        build,
        (
            Stage("video", VIDEO, window=1 + LENGTH, optimiser=video),
            Stage("invert", Invert(pictures, noise=0.1), ("parts.translator",), window=3, optimiser=invert),
        ),
        {"open loop": open_loop(plan), "closed loop": open_loop(plan, horizon=1)},
    )
