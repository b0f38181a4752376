"""Invert: a translator learns which actions led from frame to frame, from the frames of recordings alone.

Shapes: B windows, N rows, M frames of a span, T places, C numbers a place, K tokens of a chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """One term, `stream`: of every span of `frames` rows of a window, `every` rows apart, the chunks between them.

    Nothing but frames is shown: a translator that reads the robot's state does not read the future (Du et al. 2023,
    UniPi, section 3.3; 1X's two-image model for `frames` = 2, DreamGen's window above).
    """

    pictures: tuple[str, ...]
    part: str = "translator"
    stream: str = "action"
    frames: int = 2
    every: int = 1
    levels: Draw = Uniform(0.1)
    noise: float = 0.0
    """Frames are noised by up to this deviation: a generated frame is not as clean as a recorded one"""

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        (stream,) = matching(model.streams, self.stream)
        shown = frames_of(batch.values, self.pictures)
        chunks = (self.frames - 1) * self.every
        spans = range(shown.shape[1] - chunks)
        frames = torch.cat([shown[:, i : i + chunks + 1 : self.every] for i in spans])
        done = torch.cat([batch.values[stream.name][:, i : i + chunks].flatten(1, 2) for i in spans])
        known = batch.there(stream) & batch.exists.roll(-1, 1)  # the row after it exists
        there = torch.cat([known[:, i : i + chunks] for i in spans])
        spread = self.noise * torch.rand(len(frames), 1, 1, 1, generator=generator)
        frames = frames + (spread * torch.randn(frames.shape, generator=generator)).to(frames.device)
        text = batch.text.repeat(len(spans), 1)
        error = asked(model.parts[self.part], frames, text, done, stream, self.levels, 1, generator)
        per_chunk = error.unflatten(1, (chunks, -1)).mean((2, 3))
        return {stream.name: Term(per_chunk, there.float())}


def in_a_row(stream: Stream, chunks: int) -> Stream:
    """The stream of so many chunks of one, one behind the other: what a translator over a span answers."""
    return replace(stream, tokens=stream.tokens * chunks, offsets=stream.offsets * chunks)
