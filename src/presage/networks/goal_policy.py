"""A small policy that is shown where to go: what is seen now, what is to be seen, and the robot's state -> a chunk.

The baseline of planning towards a goal image: hindsight cloning of the same play (Lynch et al. 2020, Learning Latent
Plans from Play, section 3; Ghosh et al. 2021, GCSL).

Shapes: B batch, T tokens of a camera, C numbers a token, D numbers of the state.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from presage.timeline.streams import Stream, Values


class GoalPolicy(nn.Module):
    """seen: streams that a goal has. felt: streams of the present alone. output: numbers of the chunk."""

    def __init__(self, seen: Sequence[Stream], felt: Sequence[Stream], output: int, width: int = 256) -> None:
        super().__init__()
        self.seen, self.felt = tuple(s.name for s in seen), tuple(s.name for s in felt)
        each = width // 8
        self.read = nn.ModuleList(nn.Linear(s.dim, each) for s in seen)
        inputs = 2 * each * sum(s.tokens for s in seen) + sum(s.tokens * s.dim for s in felt)
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, output)
        )

    def forward(self, now: Values, goal: Values) -> Tensor:
        """Values (B, T, C) of now and of the goal -> (B, output)."""
        parts = [read(x[name]).flatten(1) for x in (now, goal) for read, name in zip(self.read, self.seen)]
        return self.layers(torch.cat([*parts, *[now[name].flatten(1) for name in self.felt]], 1))
