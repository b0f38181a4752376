"""State dynamics: the robot's own state after an action chunk, from its state now and what it has felt so far.

Where a robot's hand is after a known action is simple arithmetic, which a video model does badly: its errors of half a
centimetre a step add up, and after some dozen steps the imagined arm is anywhere. So a small network of its own keeps
the state, and the video is asked to show it (as Ctrl-World, Guo et al. 2025, conditions its video on the poses that the
actions lead to).

It sees no image, but it remembers: a hand that was told to go on and did not is held back, and goes its first way back
without moving, since its controller has run ahead. No state shows how far.

Shapes: B rows, S numbers of state, A numbers of an action chunk, M numbers of memory.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANGE = 0.1
"""A typical change in a step, in half ranges: outputs are multiples of it."""


class StateDynamics(nn.Module):
    """Trained on its own (training/state_dynamics.py) and left as it is when the world model trains."""

    def __init__(self, state: int, action: int, width: int, layers: int = 2) -> None:
        super().__init__()
        self.memory = width // 2
        known = state + action + self.memory
        sizes = [known, *[width] * layers]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)])
        self.output = nn.Linear(width, state)
        self.direct = nn.Linear(known, state)
        self.cell = nn.GRUCell(2 * state + action, self.memory)
        for last in (self.output, self.direct):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.requires_grad_(False)

    def blank(self, state_BS: Tensor) -> Tensor:
        """The memory (B, M) of robots that have felt nothing yet."""
        return torch.zeros(*state_BS.shape[:-1], self.memory, device=state_BS.device)

    def forward(self, state_BS: Tensor, action_BA: Tensor, memory_BM: Tensor) -> Tensor:
        """State (B, S) after the chunk; B may be several dimensions."""
        x = inputs = torch.cat([state_BS, action_BA, memory_BM], -1)
        for layer in self.layers:
            x = F.gelu(layer(x))
        return state_BS + CHANGE * (self.output(x) + self.direct(inputs))

    def remember(self, state_BS: Tensor, action_BA: Tensor, reached_BS: Tensor, memory_BM: Tensor) -> Tensor:
        """The memory (B, M) after the chunk has led to `reached`, by itself or in truth."""
        return self.cell(torch.cat([state_BS, action_BA, (reached_BS - state_BS) / CHANGE], -1), memory_BM)
