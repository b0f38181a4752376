"""A judge of success: what the cameras show, and what was asked for -> how near to success it is.

It sees pictures as people do, decoded and of 256 grey levels, so it can judge anybody's dream, and what it says of a
dream depends on nothing but what is seen in it.

Shapes: B batch, V cameras, S pixels a side, E width of the text.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presage.networks.unet_blocks import Residual


class Judge(nn.Module):
    """Convolutions modulated by the text, and a readout that knows where things are."""

    taught: Tensor
    """Batches with known outcomes that it has seen: with none it can say nothing"""

    def __init__(self, cameras: int, size: int, text_dim: int, width: int = 32) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 4 * width)
        self.enter = nn.Conv2d(3 * cameras, width, 3, padding=1)
        self.told = nn.Sequential(nn.Linear(text_dim, 4 * width), nn.SiLU())
        self.shrink = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1) for a, b in zip((width, *widths), widths)])
        self.blocks = nn.ModuleList([Residual(w, w, 4 * width) for w in widths])
        places = (size // 2 ** len(widths)) ** 2
        self.register_buffer("taught", torch.zeros(()))
        self.out = nn.Sequential(nn.Linear(places * widths[-1], 8 * width), nn.SiLU(), nn.Linear(8 * width, 1))

    def forward(self, pictures: Tensor, text: Tensor) -> Tensor:
        """uint8 (B, V, S, S, 3) and (B, E) -> (B,) logits."""
        return self.says(side_by_side(pictures), text)

    def says(self, x: Tensor, text: Tensor) -> Tensor:
        """The same of pictures (B, 3 * V, S, S) between -1 and 1."""
        told = self.told(text)
        h = self.enter(x.contiguous(memory_format=torch.channels_last))
        for shrink, block in zip(self.shrink, self.blocks):
            h = block(shrink(F.silu(h)), told)
        logit: Tensor = self.out(h.flatten(1))
        return logit[:, 0]


def side_by_side(pictures: Tensor) -> Tensor:
    """uint8 (B, V, S, S, 3) -> (B, 3 * V, S, S) between -1 and 1."""
    return (pictures.float() / 127.5 - 1).permute(0, 1, 4, 2, 3).flatten(1, 2)
