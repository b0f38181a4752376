"""The renderer: what a frame looks like once the robot is in another state.

A robot's pictures follow from its state nearly as its state follows from its actions, and a plain network learns that
in minutes, sharply, where attention over patches smears the arm a little more in every imagined frame. So a frame that
an action leads to is expected to be the frame before, with the robot of then taken away and the robot of now put in its
place: the difference of two renderings. What does not move with the robot stays as it was.

The state alone does not say it all: an arm of seven joints reaches a place in many postures, and a drawer follows the
hand only where the hand holds it. So a few numbers are read from the frame before, its *code*, and both renderings are
given them. They are whatever makes the difference come out right; nothing else trains them.

Shapes: B rows, S numbers of state, E of text, F numbers of a frame of all cameras, K of its code.
"""

import torch
from torch import Tensor, nn

from presage.networks.reader import Residual

FREQUENCIES = (1.0, 2.0, 4.0, 8.0)
"""Of the sines and cosines of the state, per half range: a pixel is a hundredth of the room."""


def waves(state_BS: Tensor) -> Tensor:
    """(B, 9 S) the state and its sines and cosines."""
    angle = torch.cat([f * state_BS for f in FREQUENCIES], -1)
    return torch.cat([state_BS, angle.sin(), angle.cos()], -1)


class Renderer(nn.Module):
    """Trained on its own (training/renderer.py) and left as it is when the world model trains."""

    def __init__(self, state: int, text: int, frame: int, width: int, code: int, blocks: int = 2) -> None:
        super().__init__()
        known = state * (1 + 2 * len(FREQUENCIES)) + text
        self.reader = nn.Sequential(
            nn.Linear(frame + known, width), Residual(width), nn.LayerNorm(width), nn.Linear(width, code)
        )
        residuals = [Residual(width) for _ in range(blocks)]
        self.layers = nn.Sequential(
            nn.Linear(known + code, width), *residuals, nn.LayerNorm(width), nn.Linear(width, frame)
        )
        self.requires_grad_(False)

    def read(self, frame_BF: Tensor, state_BS: Tensor, text_BE: Tensor) -> Tensor:
        """The code (B, K) of a frame."""
        return self.reader(torch.cat([frame_BF, waves(state_BS), text_BE], -1))

    def forward(self, state_BS: Tensor, text_BE: Tensor, code_BK: Tensor) -> Tensor:
        """What shows in `state` and changes with it (B, F)."""
        return self.layers(torch.cat([waves(state_BS), text_BE, code_BK], -1))

    def carry(self, frame_BF: Tensor, state_BS: Tensor, next_BS: Tensor, text_BE: Tensor) -> Tensor:
        """The frame (B, F) once the robot has gone from `state` to `next`. B may be several dimensions."""
        code = self.read(frame_BF, state_BS, text_BE)
        then, now = self(torch.stack([state_BS, next_BS]), torch.stack([text_BE] * 2), torch.stack([code] * 2)).float()
        return frame_BF + now - then
