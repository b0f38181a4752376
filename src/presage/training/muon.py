"""Muon: the momentum of a hidden layer's matrix is made orthogonal before it is applied, so that directions which few
examples ask for are learned as fast as those that all ask for (Jordan et al. 2024, "Muon: an optimizer for hidden
layers in neural networks"). All other weights are AdamW's. torch's own takes matrices alone; here a convolution is the
matrix of its outputs and all of its inputs."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM, BETAS, EPSILON = 0.95, (0.9, 0.99), 1e-8
SCALE = 0.3
"""Size of an update beside one of AdamW at the same rate; Liu et al. (2025, "Muon is scalable", section 2.2) match them
at 0.2"""
STEPS, QUINTIC = 5, (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Args:
    matrices: weights of two or more axes, the first being outputs; they decay.
    others: everything else.
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], others: Iterable[nn.Parameter], lr: float, weight_decay: float
    ) -> None:
        groups = [
            {"params": list(matrices), "orthogonal": True, "weight_decay": weight_decay},
            {"params": list(others), "orthogonal": False, "weight_decay": 0.0},
        ]
        super().__init__([g for g in groups if g["params"]], {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            grads = [p.grad for p in weights if p.grad is not None]
            for p in weights:
                self._begin(p, group["orthogonal"])
            if group["orthogonal"]:
                self._orthogonal(weights, grads, group)
            else:
                self._adam(weights, grads, group)

    def _begin(self, p: Tensor, orthogonal: bool) -> None:
        state = self.state[p]
        if not state:
            state["step"], state["mean"] = torch.tensor(0.0), torch.zeros_like(p)
            if not orthogonal:
                state["square"] = torch.zeros_like(p)
        state["step"] += 1

    def _orthogonal(self, weights: list[Tensor], grads: list[Tensor], group: dict[str, Any]) -> None:
        means = [self.state[p]["mean"] for p in weights]
        torch._foreach_lerp_(means, grads, 1 - MOMENTUM)
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        for p, mean, grad in zip(weights, means, grads, strict=True):
            update = orthogonal(mean.lerp(grad, 1 - MOMENTUM).flatten(1))  # Nesterov's look ahead
            p.add_(update.view_as(p).to(p.dtype), alpha=-group["lr"] * SCALE * max(update.shape) ** 0.5)

    def _adam(self, weights: list[Tensor], grads: list[Tensor], group: dict[str, Any]) -> None:
        means, squares = ([self.state[p][name] for p in weights] for name in ("mean", "square"))
        torch._foreach_lerp_(means, grads, 1 - BETAS[0])
        torch._foreach_mul_(squares, BETAS[1])
        torch._foreach_addcmul_(squares, grads, grads, 1 - BETAS[1])
        for p, mean, square in zip(weights, means, squares, strict=True):
            step = float(self.state[p]["step"])
            size = (square / (1 - BETAS[1] ** step)).sqrt_().add_(EPSILON)
            p.addcdiv_(mean, size, value=-group["lr"] / (1 - BETAS[0] ** step))


def orthogonal(matrix: Tensor) -> Tensor:
    """(R, C) in bf16 with the same singular vectors and singular values near 1 (0.7 to 1.2), by five steps of Newton
    and Schulz with Jordan's coefficients."""
    a, b, c = QUINTIC
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if tall else x
