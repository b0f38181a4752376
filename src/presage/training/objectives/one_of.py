"""One of: every step of a training asks for one of several things, where they cannot share a pass."""

from dataclasses import dataclass

import torch

from presage.networks.composed import Composed
from presage.training.batch import Batch, Terms
from presage.training.stage import Objective


@dataclass(frozen=True)
class OneOf:
    parts: tuple[tuple[Objective, float], ...]
    """Objectives and how often each is drawn; weights need not add to 1"""

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        weights = torch.tensor([weight for _, weight in self.parts])
        chosen = int(torch.multinomial(weights, 1, generator=generator))
        return self.parts[chosen][0](model, batch, generator)
