"""Corruption by Gaussian flow matching with a network that predicts the clean token, and the Euler step that
undoes it."""

import torch
from torch import Tensor


def corrupt(x: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """`x_k = (1 - k) x + k noise`; `level` broadcasts against the leading dimensions of x."""
    k = level.reshape(level.shape + (1,) * (x.ndim - level.ndim))
    return (1 - k) * x + k * noise


def flow_weight(level: Tensor, floor: float = 0.5) -> Tensor:
    """Weight that turns the squared error of the clean prediction into that of the velocity `noise - x`, bounded.

    `v = (x_k - x) / k`, so the errors differ by 1/k^2 (Li & He 2025, "Back to basics", section 3); below `floor` the
    weight stays constant, else the last, easiest levels would take most of the gradient.
    """
    return 1.0 / torch.clamp(level, min=floor) ** 2


def euler_step(x_k: Tensor, clean: Tensor, level: float, to: float) -> Tensor:
    """One step down from `level` to `to`, given the clean prediction: exact when the prediction is."""
    if level == to:
        return x_k
    return clean + (to / level) * (x_k - clean)
