"""The control of every claim that predicting the future helps: the same training, towards futures of other windows."""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch

from presage.networks.composed import Composed
from presage.training.batch import Batch, Terms
from presage.training.stage import Objective


@dataclass(frozen=True)
class OtherFutures:
    """Of streams that match `pattern`, all rows but the first are those of the window before it in the batch, which is
    nearly always of another episode. What is seen first and what is done stay as they are."""

    objective: Objective
    pattern: str

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        values, present = dict(batch.values), dict(batch.present)
        for name in (name for name in values if fnmatchcase(name, self.pattern)):
            there = batch.present.get(name, batch.exists)
            values[name], present[name] = values[name].clone(), there.clone()
            values[name][:, 1:] = values[name].roll(1, 0)[:, 1:]
            present[name][:, 1:] = there.roll(1, 0)[:, 1:]
        return self.objective(model, replace(batch, values=values, present=present), generator)
