"""How a U-Net's last channels become the next frame: by themselves, as a change of the newest frame, or composed.

A composed frame chooses pixel by pixel among the newest frame with a change, the oldest frame that was kept and fresh
paint (Finn et al. 2016, CDNA, section 4.1; Lee et al. 2018, SAVP, section 3.3). What does not change stays crisp where
it is taken from the oldest frame, which holds no error of a dream; what was hidden is taken from a time when it was
seen.

Shapes: B frames, V cameras, C numbers a place, p pixels of a place a side, G places a side, S = p * G pixels a side.
"""

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

SURE = 4.0
"""How fast a choice is made up: weights that are not sure mix still pixels with paint"""


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
    """A choice among the newest frame with a change, the oldest frame and paint. A place holds p x p pixels of three
    colours, as `PixelCodec` orders them."""

    SOURCES = 3

    def __init__(self, channels: int, cameras: int) -> None:
        """
        Raises:
            ValueError: a place does not hold a square of coloured pixels.
        """
        self.cameras, self.patch = cameras, math.isqrt(channels // cameras // 3)
        if 3 * cameras * self.patch**2 != channels:
            raise ValueError(f"a place of {channels // cameras} numbers is no square of coloured pixels")
        self.channels = cameras * self.patch**2 * (3 + self.SOURCES + 3)

    def __call__(self, answer: Tensor, newest: Tensor, oldest: Tensor) -> Tensor:
        paint, choice, change = (self._shuffle(x) for x in self._split(answer))
        weight = self._logits(choice).softmax(1)
        shown = (self._pixels(newest) + change, self._pixels(oldest), paint)
        return self._places(sum((weight[:, k : k + 1] * x for k, x in enumerate(shown)), torch.zeros_like(paint)))

    def recalled(self, answer: Tensor) -> Tensor:
        """(B, V * C, G, G) log-odds that a pixel is taken from the oldest frame, alike for its three colours."""
        newest, oldest, paint = self._logits(self._shuffle(self._split(answer)[1])).split(1, 1)
        return self._places((oldest - torch.logaddexp(newest, paint)).expand(-1, 3, -1, -1))

    def _logits(self, choice: Tensor) -> Tensor:
        start = torch.tensor([3.0, 0.0, 0.0], device=choice.device)  # at first, nearly all stays as it is
        return SURE * choice + start.view(1, -1, 1, 1)

    def _split(self, answer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Paint, logits of the choice and change, each (B * V, 3 * p * p, G, G)."""
        square = self.patch**2
        x = answer.unflatten(1, (self.cameras, -1)).flatten(0, 1)
        paint, choice, change = x.split([3 * square, self.SOURCES * square, 3 * square], 1)
        return paint, choice, change

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
