"""A network that has learned nothing and sees what the learned one sees: the control of every figure."""

import torch
from torch import nn


@torch.no_grad()
def shuffle(network: nn.Module, generator: torch.Generator | None = None) -> None:
    """Put the numbers of each weight in random order, in place: their sizes stay, what was learned goes."""
    for weight in network.parameters():
        order = torch.randperm(weight.numel(), generator=generator)
        weight.copy_(weight.flatten()[order.to(weight.device)].view_as(weight))
