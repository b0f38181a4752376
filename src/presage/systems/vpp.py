"""Video Prediction Policy (Hu et al. 2024): a video model's features after one denoising step of pure noise say what is
about to happen; a Video Former gathers them, and a diffusion head reads the action.

The video network sees no action, and the head's gradient stops at the tap. Latent U-Net, flow and 4 future frames stand
in for Stable Video Diffusion, EDM and 16.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from presage.networks.composed import Composed
from presage.networks.unet import UNet, UNetConfig
from presage.policy.executors import receding
from presage.policy.features import foresight, headed, latents, present
from presage.policy.heads import ActionTransformer, VideoFormer
from presage.systems.lab.check import CheckResult
from presage.systems.lab.policies import Probe, Variant, compare_policies
from presage.systems.lab.probes import Pairs
from presage.systems.lab.readings import asked_of, beside_random, redrawn
from presage.systems.parts import actions, codec_stage, conv_codec, scaled, videos
from presage.systems.system import DEBUG, SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.timeline.corruption import Flow, Given
from presage.timeline.levels import GIVEN, Levels, Role, Uniform
from presage.timeline.streams import Stream
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.imitate import Imitate, Read, readings
from presage.training.stage import Stage

FRAMES, TAP = 4, 2
"""Future frames; the first of the decoder's upsampling blocks"""
VIDEO = Denoise(Levels((Role(Uniform(0.3), GIVEN),), per_step=False), clip=True)
ALL = {"labelled": 1.0, "free": 1.0}


ONE_STEP = foresight(TAP, FRAMES)


def vpp(shape: Shape, size: Size = SMALL, read: Read = ONE_STEP, frames: int = FRAMES, numbers: int = 0) -> System:
    """read: what the head sees of a session, `frames` frames of features of `numbers` numbers (0: the tap's)."""
    pictures = tuple(f"image.{camera}" for camera in shape.cameras)
    widths = (2 * size.channels, 4 * size.channels)

    def build(shape: Shape) -> Composed:
        codec = conv_codec(shape, size)
        cameras, acts = videos(shape, codec, Flow()), actions(shape, Flow(limit=1.5), per_step=True)
        kept = Stream("features", frames * codec.config.tokens, numbers or widths[-1], Given())
        config = UNetConfig(pictures, widths, size.width, max(1, size.layers - 2), size.heads, past=1, fold=2)
        former = VideoFormer(kept.dim, size.width, 4, 1, size.heads, codec.config.tokens)
        return Composed(
            [acts, *cameras, kept],
            {s.source: codec for s in cameras},
            UNet(cameras, config),
            shape,
            context=1,
            parts={"head": ActionTransformer(former, size.width, acts, heads=size.heads)},
        )

    head = Imitate(read, kept="features", frames=frames)
    return System(
        Card.of("vpp"),
        build,
        (
            codec_stage(size, ALL),
            Stage("video", VIDEO, data=ALL, window=1 + FRAMES, optimiser=scaled(Optimiser(1200, 16, warmup=100), size)),
            Stage(
                "head",
                head,
                ("parts.head",),
                {"read": 1.0},
                {"read": readings(read, "features")},
                window=1,
                optimiser=scaled(Optimiser(800, 32, warmup=50), size),
            ),
        ),
        {"policy": receding(headed(read))},
    )


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    size, tuned = DEBUG if quick else SMALL, ("codecs", "network")

    def of_codec(shape: Shape) -> System:
        pictures = [f"image.{camera}" for camera in shape.cameras]
        numbers = conv_codec(shape, size).config.token_dim * len(pictures)
        return vpp(shape, size, latents(pictures), 1, numbers)

    def random(shape: Shape) -> System:
        system = vpp(shape, size)
        return replace(system, build=lambda shape: redrawn(system.build(shape)))

    ask = asked_of(ONE_STEP)
    variants = {
        "one-step features": Variant(lambda shape: vpp(shape, size), ask, takes=tuned),
        "codec latents": Variant(of_codec, asked_of(latents(("image.front", "image.top")))),
        "same U-Net, present frame": Variant(
            lambda shape: vpp(shape, size, present(TAP), 1), asked_of(present(TAP)), takes=tuned
        ),
        "random U-Net": Variant(random, ask),
    }
    margins = {"codec latents": 0.10, "same U-Net, present frame": 0.10, "random U-Net": 0.10}
    return compare_policies(find("vpp"), variants, margins, PROBE, arms, seeds, quick, out, shared=("codec", "video"))


def sees(model: Composed, pairs: Pairs) -> Mapping[str, float]:
    """How much the features follow the frame, of this network and of one with random weights, which must see it too."""
    return dict(zip(PROBE.limits, beside_random(model, pairs, ONE_STEP), strict=True))


PROBE = Probe(
    sees,
    {
        "noise / frame, one-step features": 1.0,
        "noise / frame, random U-Net": 10.0,
        "frame of the trained / of the random U-Net": 3.0,
    },
)
