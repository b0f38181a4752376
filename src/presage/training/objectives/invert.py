"""Invert: a translator learns which actions led from frame to frame, from the frames of recordings alone.

Shapes: B windows, N rows, M frames of a span, T places, C numbers a place, K tokens of a chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from presage.networks.composed import Composed
from presage.timeline.levels import Draw, Uniform
from presage.timeline.streams import Stream, Values, matching
from presage.training.batch import Batch, Term, Terms
from presage.training.objectives.imitate import asked


def frames_of(values: Values, pictures: Sequence[str]) -> Tensor:
    """(B, N, T, C of all cameras) of values (B, N, T, C) each."""
    return torch.cat([values[name] for name in pictures], -1)


@dataclass(frozen=True)
class Invert:
    """One term, `stream`: of every span of `frames` consecutive rows of a window, the chunks between them. Nothing but
    frames is shown: a translator that reads the robot's state does not read the future (Du et al. 2023, UniPi, section
    3.3; 1X's two-image model for `frames` = 2, DreamGen's window above)."""

    pictures: tuple[str, ...]
    part: str = "translator"
    stream: str = "action"
    frames: int = 2
    levels: Draw = Uniform(0.1)
    noise: float = 0.0
    """Frames are noised by up to this deviation: a generated frame is not as clean as a recorded one"""

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        (stream,) = matching(model.streams, self.stream)
        shown, m = frames_of(batch.values, self.pictures), self.frames
        b, n = batch.exists.shape
        spans = n - m + 1
        frames = torch.cat([shown[:, i : i + m] for i in range(spans)])
        done = torch.cat([batch.values[stream.name][:, i : i + m - 1].flatten(1, 2) for i in range(spans)])
        there = torch.cat([batch.there(stream)[:, i : i + m - 1] & batch.exists[:, i + 1 : i + m] for i in range(spans)])
        spread = self.noise * torch.rand(len(frames), 1, 1, 1, generator=generator)
        frames = frames + (spread * torch.randn(frames.shape, generator=generator)).to(frames.device)
        text = batch.text.repeat(spans, 1)
        error = asked(model.parts[self.part], frames, text, done, stream, self.levels, 1, generator)
        per_chunk = error.unflatten(1, (m - 1, -1)).mean((2, 3))
        return {stream.name: Term(per_chunk, there.float())}


def chunks(stream: Stream, count: int) -> tuple[int, int]:
    """Tokens and numbers a token of `count` chunks in a row."""
    return stream.tokens * count, stream.dim
