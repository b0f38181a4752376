"""The pixel codec: patches as tokens, nothing learned. The ceiling of fidelity and the baseline for every other
codec."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PixelCodecConfig:
    size: int = 64
    patch: int = 16

    @property
    def tokens(self) -> int:
        return (self.size // self.patch) ** 2

    @property
    def token_dim(self) -> int:
        return 3 * self.patch**2


class PixelCodec(nn.Module):
    """Images (B, S, S, 3) uint8 <-> tokens (B, (S/patch)^2, 3*patch^2) in [-1, 1]; lossless up to rounding."""

    def __init__(self, config: PixelCodecConfig) -> None:
        super().__init__()
        self.config = config

    def encode(self, images_BHWC: Tensor) -> Tensor:
        return patches(images_BHWC.float() / 127.5 - 1.0, self.config.patch)

    def decode(self, tokens_BNC: Tensor) -> Tensor:
        g, p = self.config.size // self.config.patch, self.config.patch
        x = tokens_BNC.float().unflatten(1, (g, g)).unflatten(3, (p, p, 3)).transpose(2, 3)
        x = x.flatten(3, 4).flatten(1, 2)
        return ((x + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


def patches(x: Tensor, patch: int) -> Tensor:
    """Numbers of each patch, pixel by pixel: (B, S, S, C) -> (B, (S/patch)^2, patch^2 * C)."""
    grid = x.shape[1] // patch
    return x.unflatten(1, (grid, patch)).unflatten(3, (grid, patch)).transpose(2, 3).flatten(3).flatten(1, 2)
