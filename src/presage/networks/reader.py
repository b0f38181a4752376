"""The scene reader: a whole frame of all cameras, the hand and the instruction, read at once into one token.

Attention over patches learns slowly *where* things are: after hours of training on two cores it told a goal's place
worse than a plain network on all numbers of a frame does after minutes (`docs/decisions.md`). So a plain network reads
the frame. What it found is one more token that everything can look at, and a base policy: a first guess of the expert's
chunk, which the transformer changes in the light of everything else.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        nn.init.normal_(self.down.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x))))


class SceneReader(nn.Module):
    """Everything a frame holds (B, N, T, C) and the text (B, E) -> tokens' embeddings (B, N, T, D).

    It is trained on its own (training/reader.py) and, like the image codec, left as it is when the world model trains:
    the transformer learns to listen to a reader that stands still, and forgets to while it moves.
    """

    def __init__(self, frame: int, text: int, width: int, token: int, action: int, blocks: int = 2) -> None:
        super().__init__()
        residuals = [Residual(width) for _ in range(blocks)]
        self.layers = nn.Sequential(
            nn.Linear(frame + text, width), *residuals, nn.LayerNorm(width), nn.Linear(width, token)
        )
        self.action = nn.Linear(token, action)
        self.requires_grad_(False)

    def forward(self, frame_BNTC: Tensor, text_BE: Tensor) -> Tensor:
        """What the frame shows, as a token."""
        text = text_BE[:, None, None].expand(*frame_BNTC.shape[:3], -1)
        return self.layers(torch.cat([frame_BNTC, text], -1))
