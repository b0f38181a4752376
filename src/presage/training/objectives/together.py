"""Several objectives of one stage: their terms side by side, to be weighted by name."""

from dataclasses import dataclass

import torch

from presage.networks.composed import Composed
from presage.training.batch import Batch, Terms
from presage.training.stage import Objective


@dataclass(frozen=True)
class Together:
    objectives: tuple[Objective, ...]

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        """Raises:
        ValueError: two of them name a term alike.
        """
        terms: Terms = {}
        for objective in self.objectives:
            more = objective(model, batch, generator)
            if same := terms.keys() & more.keys():
                raise ValueError(f"two objectives have a term {min(same)!r}")
            terms |= more
        return terms
