"""Clone goals: what was done, where what was seen some rows later was the goal (Lynch et al. 2020, section 3.1)."""

from dataclasses import dataclass
from typing import cast

import torch

from presage.networks.composed import Composed
from presage.networks.goal_policy import GoalPolicy
from presage.training.batch import Batch, Term, Terms, per_step


@dataclass(frozen=True)
class CloneGoals:
    """The first row of a window is now, and a later one, drawn evenly, is the goal: a stage's `window` says how far."""

    part: str = "cloning"

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        b, n = batch.exists.shape
        policy = cast(GoalPolicy, model.parts[self.part])  # whoever names this objective has chosen such a part
        action = next(s for s in model.streams if s.acts)
        later = torch.randint(1, n, (b,), generator=generator).to(batch.text.device)
        rows = torch.arange(b, device=later.device)
        now = {name: x[:, 0] for name, x in batch.values.items()}
        said = policy(now, {name: x[rows, later] for name, x in batch.values.items()})
        target = batch.values[action.name][:, :1]
        error = (said.view(target.shape).float() - target).abs()
        there = batch.there(action)[:, 0] & batch.exists[rows, later]
        return {"cloning": Term(per_step(error, batch.has.get(action.name)), there[:, None].float())}
