"""Translators: what was seen -> what must have been done. They see frames alone.

A translator is a network with the signature of a head (`heads.py`): frames (B, M, T, C), text, `x_k`, level -> actions
(B, (M - 1) * K, C') of the M - 1 chunks between them.

Shapes: B batch, M frames, T places of a frame, G places a side, C numbers a place of all cameras, K tokens of a chunk.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from presage.networks.unet_blocks import PlaceNorm
from presage.policy.heads import answer
from presage.timeline.levels import Schedule, down
from presage.timeline.sampler import Guidance
from presage.timeline.session import Session
from presage.timeline.streams import Stream, matching
from presage.training.objectives.invert import in_a_row


class FramePair(nn.Module):
    """Two frames -> the chunk between them: convolutions, a strided grid, an MLP (Du et al. 2023, UniPi, appendix A:
    residual convolutions, mean, MLP; here the places are kept, as a hand of few pixels vanishes in a mean). For
    `Regress`."""

    def __init__(self, places: int, numbers: int, width: int, stream: Stream) -> None:
        super().__init__()
        self.shape, self.side = (stream.tokens, stream.dim), math.isqrt(places)
        layers: list[nn.Module] = [nn.Conv2d(3 * numbers, width, 3, padding=1)]
        side = self.side
        while side > 4:
            layers += [PlaceNorm(width), nn.SiLU(), nn.Conv2d(width, width, 3, 2, 1)]
            side = (side + 1) // 2
        layers += [PlaceNorm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Flatten()]
        self.see = nn.Sequential(*layers)
        self.read = nn.Sequential(
            nn.Linear(width * side**2, 4 * width), nn.SiLU(), nn.Linear(4 * width, stream.tokens * stream.dim)
        )

    def forward(self, features: Tensor, text: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        """Frames (B, 2, T, C) -> (B, K, C'); text is not looked at: physics knows no words."""
        before, after = features.transpose(2, 3).unflatten(3, (self.side, self.side)).unbind(1)
        seen = torch.cat([before, after, 4 * (after - before)], 1).contiguous(memory_format=torch.channels_last)
        return self.read(self.see(seen)).view(len(seen), *self.shape)


Change = Callable[[Tensor], Tensor]
"""The frames (B, N, T, C) of a clip that a translator is shown, the real one first, in place of those imagined"""


@dataclass(frozen=True)
class ClipPlan:
    """A plan (`executors.Plan`): imagine a whole clip as one question, translate it pair by pair (Du et al. 2023,
    UniPi, section 3)."""

    pictures: tuple[str, ...]
    length: int
    """Frames after the one that is seen"""
    every: int = 1
    """Chunks between two of them, which the translator answers at once"""
    steps: int = 10
    scale: float = 1.0
    """Of guidance by the text; 1: none"""
    shown: Change = lambda frames: frames
    part: str = "translator"
    stream: str = "action"
    reads: int = 1
    """Steps in which the translator denoises, where it does"""

    def frames(self, session: Session) -> Tensor:
        """(B, 1 + length, T, C of all cameras): the real frame, and those imagined after it."""
        told = session.condition
        without = Guidance({"*": self.scale}, replace(told, text=torch.zeros_like(told.text)))
        schedule = Schedule(down(self.steps), None)
        clip = session.imagine(schedule, length=self.length, guidance=without if self.scale != 1 else None).values
        now = {name: session.last.values[name][:, None] for name in self.pictures}
        return torch.cat([torch.cat([now[name], clip[name]], 1) for name in self.pictures], -1)

    def __call__(self, session: Session) -> np.ndarray:
        model, tokens = session.model, matching(session.model.streams, self.stream)[0].tokens
        spans = self.translated(session, self.shown(self.frames(session)))
        return np.stack([model.decode_action(chunk) for span in spans for chunk in span.split(tokens, 1)])

    def translated(self, session: Session, frames: Tensor) -> list[Tensor]:
        """Of each pair of frames (B, N, T, C of all cameras) that follow each other, the chunks (B, every * K, C')
        between them."""
        (stream,) = matching(session.model.streams, self.stream)
        head, between = session.model.parts[self.part], in_a_row(stream, self.every)
        pairs = [frames[:, i : i + 2] for i in range(frames.shape[1] - 1)]
        told, noise = session.condition.text, session.noise
        return [answer(head, pair, told, between, noise, self.reads).clamp(-1, 1) for pair in pairs]


def repeated(frames: Tensor) -> Tensor:
    """The first frame, all along: what a translator makes of no motion."""
    return frames[:, :1].expand_as(frames)


def of_others(frames: Tensor) -> Tensor:
    """The futures of other rows: each clip follows the first frame of another, half of them away, since where rows
    follow each other in an episode the one before ends in this one's first frame."""
    return torch.cat([frames[:, :1], frames[:, 1:].roll(max(1, len(frames) // 2), 0)], 1)
