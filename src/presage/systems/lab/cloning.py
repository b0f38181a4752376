"""Cloning, in several architectures: the chunk of a demonstration, read off the codec's latents of one frame."""

from typing import Literal

from torch import nn

from presage.networks.composed import Composed
from presage.networks.unet import UNet, UNetConfig
from presage.policy.executors import receding
from presage.policy.features import headed, latents
from presage.policy.heads import ActionMLP, ActionTransformer, Filmed, Gathered, PooledMLP, VideoFormer
from presage.systems.parts import actions, codec_stage, conv_codec, scaled, videos
from presage.systems.system import SMALL, Card, Shape, Size, System
from presage.timeline.corruption import DDPM, Corruption, Flow, Regress
from presage.timeline.streams import Stream
from presage.training.loop import Optimiser
from presage.training.objectives.imitate import Imitate
from presage.training.objectives.invert import in_a_row
from presage.training.stage import Stage

Architecture = Literal["flow", "diffusion", "pooled", "filmed"]
CORRUPTIONS: dict[Architecture, Corruption] = {
    "flow": Flow(limit=1.5),
    "diffusion": DDPM(100, "clean", limit=1.0),
    "pooled": Regress("l1"),
    "filmed": Regress("l1"),
}


def policy_head(shape: Shape, size: Size, stream: Stream, architecture: Architecture = "flow") -> nn.Module:
    """A fresh head over the latents of one frame of all cameras, which answers `stream`."""
    config = conv_codec(shape, size).config
    numbers, width = config.token_dim * len(shape.cameras), size.width
    if architecture == "filmed":
        return Filmed(config.tokens, numbers, (4 * size.channels,), stream, side=config.grid)
    if architecture == "pooled":
        return PooledMLP(numbers, width, stream, heads=size.heads)
    if architecture == "diffusion":
        return ActionMLP(Gathered(config.tokens, numbers, width, 4 * width), 4 * width, stream)
    former = VideoFormer(numbers, width, 8, 1, size.heads, config.tokens)
    return ActionTransformer(former, width, stream, 2, size.heads)


def policy_stage(size: Size, pictures: tuple[str, ...], chunks: int = 1, steps: int = 1500, draws: int = 1) -> Stage:
    """Trains the part `head` on what was done in demonstrations. draws: noises of each."""
    reads = Imitate(latents(pictures), chunks=chunks, draws=draws)
    optimiser = scaled(Optimiser(steps, 64, warmup=50), size)
    return Stage("policy", reads, ("parts.head",), {"labelled": 1.0}, window=chunks, optimiser=optimiser)


def cloned_policy(
    shape: Shape, size: Size = SMALL, architecture: Architecture = "flow", chunks: int = 1, steps: int = 1500
) -> System:
    """chunks: that the head answers at once; the first is executed."""
    pictures = tuple(f"image.{camera}" for camera in shape.cameras)

    def build(shape: Shape) -> Composed:
        codec = conv_codec(shape, size)
        cameras, acts = videos(shape, codec, Flow()), actions(shape, CORRUPTIONS[architecture], per_step=True)
        idle = UNet(cameras, UNetConfig(pictures, (8, 8), 8, 1, 1, past=1, fold=2))  # nothing is imagined
        head = policy_head(shape, size, in_a_row(acts, chunks), architecture)
        streams, codecs = [acts, *cameras], {s.source: codec for s in cameras}
        return Composed(streams, codecs, idle, shape, 1, {"head": head})

    stages = (codec_stage(size, {"labelled": 1.0, "free": 1.0}), policy_stage(size, pictures, chunks, steps))
    card = Card(0, "cloning", "", ("representation",), "What was done is done again.")
    return System(card, build, stages, {"policy": receding(headed(latents(pictures)))})
