"""Numbers as networks are shown them: levels, times, marks of quality."""

import math

import torch
from torch import Tensor


def waves(x: Tensor, frequencies: int = 16) -> Tensor:
    """Numbers (...) as sines and cosines (..., 2 * frequencies) of frequencies 1 to 100."""
    angle = x[..., None] * torch.exp(torch.linspace(0.0, math.log(100.0), frequencies, device=x.device))
    return torch.cat([angle.sin(), angle.cos()], -1)


def quality_marks(quality: Tensor) -> Tensor:
    """How well the robot is to behave (..., NaN: untold) as two numbers (..., 2), well and not; 0 where untold."""
    known = ~quality.isnan()
    q = torch.where(known, quality, 0.0)
    return torch.stack([q * known, (1 - q) * known], -1)
