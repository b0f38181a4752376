"""Translators: what was seen -> what must have been done. They see frames alone.

A translator is a network with the signature of a head (`heads.py`): frames (B, M, T, C), text, `x_k`, level -> actions
(B, (M - 1) * K, C') of the M - 1 chunks between them.

Shapes: B batch, M frames, T places of a frame, G places a side, C numbers a place of all cameras, K tokens of a chunk.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from presage.networks.composed import Composed
from presage.networks.unet_blocks import PlaceNorm
from presage.policy.heads import ActionTransformer, VideoFormer, answer
from presage.timeline.noise import Streams
from presage.timeline.streams import Stream


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


def window_translator(places: int, numbers: int, width: int, stream: Stream, frames: int, layers: int = 2) -> nn.Module:
    """Several frames -> all chunks between them, denoised (Jang et al. 2025, DreamGen, section 3.2: a flow head over a
    window of frames)."""
    former = VideoFormer(numbers, width, queries=4, layers=layers, places=places)
    return ActionTransformer(former, width, replace(stream, tokens=stream.tokens * (frames - 1), offsets=()), layers)


def translate(
    model: Composed, frames: Tensor, text: Tensor, stream: Stream, noise: Streams, part: str = "translator", steps: int = 1
) -> Tensor:
    """Chunks (B, N - 1, K, C') between the N frames (B, N, T, C) of a clip, pair by pair."""
    out = [
        answer(model.parts[part], frames[:, i : i + 2], text, stream, noise, steps) for i in range(frames.shape[1] - 1)
    ]
    return torch.stack(out, 1)
