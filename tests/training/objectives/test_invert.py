"""A translator learns what led from frame to frame, and nothing where nothing is known."""

from dataclasses import replace

import torch

from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.networks.composed import Composed
from presage.networks.unet import UNet, UNetConfig
from presage.policy.heads import answer
from presage.policy.translators import FramePair, repeated
from presage.timeline.corruption import Regress
from presage.timeline.noise import streams
from presage.timeline.streams import Stream
from presage.training.objectives.invert import Invert, in_a_row
from presage.training.recorded import Recorded, shape_of
from tests.recorded import ACTIONS, CHUNK, SIZE, batch_of, moving_square

ACTION = Stream("action", 1, CHUNK * ACTIONS, Regress(), acts=True, source="action")


def model_of(recorded: Recorded, chunks: int) -> Composed:
    torch.manual_seed(0)
    codec = PixelCodec(PixelCodecConfig(SIZE, 2))
    seen = Stream("seen", codec.config.tokens, codec.config.token_dim, source="image.front")
    translator = FramePair(seen.tokens, seen.dim, 16, in_a_row(ACTION, chunks))
    network = UNet([seen], UNetConfig(("seen",), (8, 16), 32, 1, 2))
    parts = {"translator": translator}
    return Composed([ACTION, seen], {"image.front": codec}, network, shape_of(recorded), context=1, parts=parts)


def windows(recorded: Recorded, model: Composed, rows: int, starts: range):
    import numpy as np

    index = np.array([[s + i for i in range(rows)] for s in starts])
    return batch_of(model, [recorded], (np.zeros(len(index), int), index, np.zeros(index.shape, bool)))


def test_the_future_says_what_was_done() -> None:
    """Each chunk moves the square by its sum, so of four numbers two are known."""
    recorded = moving_square(episodes=40)
    model, ask = model_of(recorded, 1), Invert(("seen",), frames=2)
    optimizer = torch.optim.AdamW(model.parts["translator"].parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    batch = windows(recorded, model, 3, range(0, 280, 8))
    for _ in range(60):
        ask(model, batch, generator)["action"].mean.backward()
        optimizer.step()
        optimizer.zero_grad()
    frames, done = batch.values["seen"][:, :2], batch.values["action"][:, 0]

    def error(shown: torch.Tensor) -> float:
        said = answer(model.parts["translator"], shown, batch.text, ACTION, streams(0, len(done)))
        return float((said.unflatten(2, (CHUNK, -1)) - done.unflatten(2, (CHUNK, -1))).mean(2).square().mean())

    assert error(repeated(frames)) > 2 * error(frames)


def test_a_span_holds_every_chunk_between_frames_that_are_far_apart() -> None:
    recorded = moving_square()
    model = model_of(recorded, 3)
    batch = windows(recorded, model, 5, range(0, 4))
    term = Invert(("seen",), frames=2, every=3)(model, batch, torch.Generator())["action"]
    assert term.error.shape == (2 * 4, 3)  # two spans of three chunks in five rows
    assert bool((term.weight == 1).all())


def test_chunks_that_nobody_recorded_count_nothing() -> None:
    recorded = moving_square()
    model = model_of(recorded, 2)
    half = replace(recorded, labelled=recorded.labelled & (torch.arange(len(recorded.labelled)) % 2 == 0).numpy())
    term = Invert(("seen",), frames=2, every=2)(model, windows(half, model, 3, range(0, 4, 2)), torch.Generator())
    assert term["action"].weight.tolist() == [[1, 0], [1, 0]]
