"""The critic: Q of one action chunk, told from the frame before it and from where it leads.

Two chunks after which a task is solved a moment sooner or later lead to frames that hardly differ, so a judge of the
frame after them guesses (docs/decisions.md, "A critic ranks imagined chunks"). This one is trained what would have come
of several chunks from the same state, and hears which chunk it is.

Shapes: B rows, D width of the reader's token, A numbers of an action chunk, S numbers of state.
"""

import torch
from torch import Tensor, nn

from presage.networks.reader import Residual


class Critic(nn.Module):
    """Trained on its own (training/critic.py), on a scene reader that stands still."""

    def __init__(self, token: int, action: int, state: int, width: int, blocks: int = 2) -> None:
        super().__init__()
        residuals = [Residual(width) for _ in range(blocks)]
        inputs = token + action + 2 * state
        self.layers = nn.Sequential(nn.Linear(inputs, width), *residuals, nn.LayerNorm(width), nn.Linear(width, 1))
        self.requires_grad_(False)

    def forward(self, token_BD: Tensor, action_BA: Tensor, state_BS: Tensor, reached_BS: Tensor) -> Tensor:
        """Q (B,): the value after the chunk if an expert goes on, given the state it leads to. Only differences between
        chunks after the same frame are to be relied on."""
        return self.layers(torch.cat([token_BD, action_BA, state_BS, reached_BS], -1))[..., 0]
