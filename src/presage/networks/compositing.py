"""How a U-Net's last channels become the next frame: by themselves, as a change of the newest frame, or composed.

A composed frame chooses pixel by pixel among the newest frame, copies of it that are warped, the oldest frame that was
kept and fresh paint (Finn et al. 2016, CDNA, section 4.1; Lee et al. 2018, SAVP, section 3.3). What does not change
stays crisp for as long as it is copied, and what was hidden is taken from a time when it was seen.

Shapes: B frames, V cameras, C numbers a place, p pixels of a place a side, G places a side, S = p * G pixels a side,
K sources of a pixel, W warps.
"""

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 8.0
"""Pixels that a warp moves anything at most"""


class Head(Protocol):
    channels: int
    """Of the answer, where the frames have V * C"""

    def __call__(self, answer: Tensor, newest: Tensor, oldest: Tensor) -> Tensor:
        """All (B, channels, G, G)."""
        ...


class Value:
    """The channels are the frame."""

    def __init__(self, channels: int, cameras: int) -> None:
        self.channels = channels

    def __call__(self, answer: Tensor, newest: Tensor, oldest: Tensor) -> Tensor:
        return answer


class Change:
    """A change of the newest frame, chosen place by place: for corruptions that predict the clean value. Still
    background then costs nothing."""

    def __init__(self, channels: int, cameras: int) -> None:
        self.channels = 2 * channels

    def __call__(self, answer: Tensor, newest: Tensor, oldest: Tensor) -> Tensor:
        paint, choice = answer.chunk(2, 1)
        return newest + torch.sigmoid(choice - 2) * (paint - newest)  # at first, all stays as it is


class Composite:
    """A choice among newest frame, its warps, the oldest frame and paint. A place holds p x p pixels of three colours,
    as `PixelCodec` orders them."""

    def __init__(self, channels: int, cameras: int, warps: int = 0) -> None:
        """
        Raises:
            ValueError: a place does not hold a square of coloured pixels.
        """
        self.cameras, self.warps, self.patch = cameras, warps, math.isqrt(channels // cameras // 3)
        if 3 * cameras * self.patch**2 != channels:
            raise ValueError(f"a place of {channels // cameras} numbers is no square of coloured pixels")
        self.sources = 3 + warps
        """Newest, oldest, paint, warps"""
        self.channels = cameras * (self.patch**2 * (3 + self.sources) + 2 * warps)

    def __call__(self, answer: Tensor, newest: Tensor, oldest: Tensor) -> Tensor:
        paint, choice, flow = self._split(answer)
        last, first = self._pixels(newest), self._pixels(oldest)
        shown = [last, first, paint, *warped(last, flow)]
        start = torch.zeros(self.sources, device=choice.device)
        start[0] = 3.0  # at first, nearly all stays as it is
        weight = (choice + start.view(1, -1, 1, 1)).softmax(1)
        picture = sum(weight[:, k : k + 1] * x for k, x in enumerate(shown))
        assert isinstance(picture, Tensor)
        return self._places(picture)

    def _split(self, answer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Paint (B * V, 3, S, S), logits of the choice (B * V, K, S, S), flow in pixels (B * V, 2 * W, S, S)."""
        square = self.patch**2
        x = answer.unflatten(1, (self.cameras, -1)).flatten(0, 1)
        paint, choice, flow = x.split([3 * square, self.sources * square, 2 * self.warps], 1)
        if self.warps:
            flow = F.interpolate(REACH * torch.tanh(flow), scale_factor=self.patch, mode="bilinear")
        return self._shuffle(paint), self._shuffle(choice), flow

    def _shuffle(self, x: Tensor) -> Tensor:
        """(B, p * p * k, G, G), pixel by pixel, -> (B, k, S, S)."""
        square = self.patch**2
        return F.pixel_shuffle(x.unflatten(1, (square, -1)).transpose(1, 2).flatten(1, 2), self.patch)

    def _pixels(self, x: Tensor) -> Tensor:
        """(B, V * C, G, G) -> (B * V, 3, S, S)."""
        return self._shuffle(x.unflatten(1, (self.cameras, -1)).flatten(0, 1))

    def _places(self, pictures: Tensor) -> Tensor:
        """Back to (B, V * C, G, G)."""
        x = F.pixel_unshuffle(pictures, self.patch).unflatten(1, (3, -1)).transpose(1, 2).flatten(1, 2)
        return x.unflatten(0, (-1, self.cameras)).flatten(1, 2)


def warped(pictures: Tensor, flow: Tensor) -> list[Tensor]:
    """(B, 3, S, S) as seen from `flow` (B, 2 * W, S, S) pixels away, right and down, once a warp."""
    if not flow.shape[1]:
        return []
    size = pictures.shape[-1]
    grid = torch.arange(size, device=flow.device, dtype=flow.dtype)
    here = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), -1)  # (S, S, 2): x, y
    out = []
    for each in flow.split(2, 1):
        there = (here + each.permute(0, 2, 3, 1) + 0.5) * (2 / size) - 1
        out.append(F.grid_sample(pictures, there, mode="bilinear", padding_mode="border", align_corners=False))
    return out
