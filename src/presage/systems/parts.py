"""Parts that recipes share: streams of recorded data, the convolutional codec, its stage."""

from presage.codecs.image import ImageCodec, ImageCodecConfig
from presage.codecs.pixels import PixelCodec
from presage.networks.composed import ACTION, IMAGE, STATE
from presage.systems.system import Shape, Size
from presage.timeline.corruption import Corruption
from presage.timeline.streams import Stream
from presage.training.loop import Optimiser
from presage.training.objectives.autoencode import Autoencode
from presage.training.stage import Stage


def actions(shape: Shape, corruption: Corruption, per_step: bool) -> Stream:
    """The chunk that leads to a step: one token an action, or one in all."""
    tokens = shape.chunk if per_step else 1
    return Stream(ACTION, tokens, shape.chunk * shape.action_dim // tokens, corruption, acts=True, source=ACTION)


def state(shape: Shape, corruption: Corruption) -> Stream:
    """The robot's own state, as one token."""
    return Stream(STATE, 1, shape.state_dim, corruption, source=STATE)


def conv_codec(shape: Shape, size: Size) -> ImageCodec:
    return ImageCodec(ImageCodecConfig(shape.size, size.channels))


def videos(shape: Shape, codec: ImageCodec | PixelCodec, corruption: Corruption) -> list[Stream]:
    """A stream for each camera, `image.<camera>`."""
    tokens, dim = codec.config.tokens, codec.config.token_dim
    return [Stream(IMAGE + c, tokens, dim, corruption, source=IMAGE + c) for c in shape.cameras]


def codec_stage(size: Size, data: dict[str, float], steps: int = 1000) -> Stage:
    """Fits the codec to pictures alone."""
    optimiser = scaled(Optimiser(steps, batch=24, warmup=50, ema=0.99, weight_decay=1e-4), size)
    return Stage("codec", Autoencode(), ("codecs",), data, window=1, optimiser=optimiser, raw=True)


def scaled(optimiser: Optimiser, size: Size) -> Optimiser:
    """With as many steps as a size has, batches of at most 8 in a debug twin, and of no fewer than a card's."""
    from dataclasses import replace

    steps = max(2, round(optimiser.steps * size.steps))
    batch = max(size.batch, min(optimiser.batch, steps * 4))
    return replace(optimiser, steps=steps, batch=batch, warmup=min(optimiser.warmup, steps))
