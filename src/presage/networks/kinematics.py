"""Kinematics: the robot's own state after an action chunk, from its state now and a step ago.

Where a robot's hand is after a known action is simple arithmetic, which a video model does badly: its errors of half a
centimetre a step add up, and after some dozen steps the imagined arm is anywhere. So a small network of its own keeps
the state, and the video is asked to show it (as Ctrl-World, Guo et al. 2025, conditions its video on the poses that the
actions lead to). It sees no image: what holds the hand back is known to the images alone, and is its error.

Shapes: B rows, S numbers of state, A numbers of an action chunk.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANGE = 0.1
"""A typical change in a step, in half ranges: outputs are multiples of it."""


class Kinematics(nn.Module):
    """Taught on its own (training/kinematics.py) and left as it is when the world model trains."""

    def __init__(self, state: int, action: int, width: int, layers: int = 3) -> None:
        super().__init__()
        known = 2 * state + 2 * action + 1
        sizes = [known, *[width] * layers]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)])
        self.output = nn.Linear(width, state)
        self.direct = nn.Linear(known, state)
        for last in (self.output, self.direct):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.requires_grad_(False)

    def forward(self, state_BS: Tensor, action_BA: Tensor, before: tuple[Tensor, Tensor, Tensor] | None = None) -> Tensor:
        """State (B, S) after the chunk; B may be several dimensions.

        before: the state and chunk a step ago, and (B,) whether they are known; None: nobody's is.
        """
        if before is None:
            past = [torch.zeros_like(state_BS), torch.zeros_like(action_BA), torch.zeros_like(state_BS[..., :1])]
        else:
            known = before[2][..., None].to(state_BS.dtype)
            past = [(state_BS - before[0]) / CHANGE * known, before[1] * known, known]
        x = inputs = torch.cat([state_BS, action_BA, *past], -1)
        for layer in self.layers:
            x = F.gelu(layer(x))
        return state_BS + CHANGE * (self.output(x) + self.direct(inputs))
