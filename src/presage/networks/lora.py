"""Low-rank adaptation: a frozen linear layer and a trained product of two narrow ones beside it (Hu et al. 2021).

Forty lines instead of the package peft: nothing here is merged, saved or switched by name, and it would bring a second
way of writing checkpoints.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class LowRank(nn.Module):
    """`base(x) + up(down(x))`; `up` starts at zero, so that nothing changes before the first step."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        device = base.weight.device
        self.down = nn.Parameter(torch.empty(rank, base.in_features, device=device))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        change = nn.functional.linear(nn.functional.linear(x.to(self.down.dtype), self.down), self.up)
        base = self.base(x)
        return base + change.to(base.dtype)


def adapt(module: nn.Module, names: Iterable[str], rank: int) -> None:
    """Freeze `module`, and put a low-rank layer around every linear layer in it whose name ends in one of `names`."""
    module.requires_grad_(False)
    endings = tuple(names)
    chosen = [(n, m) for n, m in module.named_modules() if isinstance(m, nn.Linear) and n.endswith(endings)]
    for name, linear in chosen:
        parent, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, LowRank(linear, rank))
