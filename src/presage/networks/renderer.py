"""The renderer: what the robot looks like in a state, from numbers alone.

A robot's pictures follow from its state nearly as its state follows from its actions, and a plain network on the state
learns that in minutes, sharply, where attention over patches smears the arm a little more in every imagined frame. So a
frame that an action leads to is expected to be the frame before, with the robot of then taken away and the robot of now
put in its place: the difference of two renderings. Differences add up to nothing but the difference of the last and the
first one: whatever else a frame shows stays as it was, and the transformer corrects what moves besides the robot.

Shapes: B rows, S numbers of state, E of text, F numbers of a frame of all cameras.
"""

import torch
from torch import Tensor, nn

from presage.networks.reader import Residual

FREQUENCIES = (1.0, 2.0, 4.0, 8.0)
"""Of the sines and cosines of the state, per half range: a pixel is a hundredth of the room."""


class Renderer(nn.Module):
    """State and text -> all latent numbers of a frame, objects as they are on average. Taught on its own
    (training/renderer.py) and left as it is when the world model trains."""

    def __init__(self, state: int, text: int, frame: int, width: int, blocks: int = 2) -> None:
        super().__init__()
        known = state * (1 + 2 * len(FREQUENCIES)) + text
        residuals = [Residual(width) for _ in range(blocks)]
        self.layers = nn.Sequential(nn.Linear(known, width), *residuals, nn.LayerNorm(width), nn.Linear(width, frame))
        self.requires_grad_(False)

    def forward(self, state_BS: Tensor, text_BE: Tensor) -> Tensor:
        angle = torch.cat([f * state_BS for f in FREQUENCIES], -1)
        return self.layers(torch.cat([state_BS, angle.sin(), angle.cos(), text_BE], -1))
