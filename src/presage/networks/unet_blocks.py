"""What a U-Net is made of.

Shapes: B batch, W channels, G places a side, S tokens, D width, E width of the condition.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PlaceNorm(nn.Module):
    """Layer norm of the channels at each place (Liu et al. 2022, ConvNeXt, section 2.6): with the channels innermost it
    costs a third of a group norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Residual(nn.Module):
    """Two convolutions, modulated by the condition between them."""

    def __init__(self, before: int, after: int, condition: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = PlaceNorm(before), PlaceNorm(after)
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.film = nn.Linear(condition, 2 * after)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        for weight in (self.conv2.weight, self.film.weight, self.film.bias):
            nn.init.zeros_(weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, W, G, G) and (B, E)."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.film(condition)[..., None, None].chunk(2, 1)
        return self.skip(x) + self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))


class Attention(nn.Module):
    """A pre-norm transformer layer in which all tokens see each other. Plain products instead of the fused call, whose
    backward pass is slow on a CPU."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        for linear in (self.out, self.down):
            nn.init.normal_(linear.weight, std=0.005)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D)."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def along_time(attention: nn.Module, h: Tensor, steps: int) -> Tensor:
    """Attention over the `steps` of a clip at each place: (B * steps, W, G, G)."""
    b, (w, g, _) = len(h) // steps, h.shape[1:]
    x = h.view(b, steps, w, g * g).permute(0, 3, 1, 2).flatten(0, 1)
    x = attention(x).unflatten(0, (b, g * g)).permute(0, 2, 3, 1)
    return x.reshape(b * steps, w, g, g).contiguous(memory_format=torch.channels_last)
