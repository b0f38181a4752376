"""The own small image codec: a convolutional autoencoder whose latent is a grid of tokens.

Full-resolution 3x3 convolutions dominate a small autoencoder on a CPU, so pixels are unshuffled to a quarter of the
resolution first; all convolutions then run channels-last.

Shapes: B images, S pixels a side, G = S / 16 tokens a side, C = 4 * latent_channels numbers per token.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presage.device import autocast


@dataclass(frozen=True)
class ImageCodecConfig:
    size: int = 64
    """Pixels a side; a multiple of 16."""
    width: int = 64
    """Channels at a quarter of the resolution; twice that at an eighth."""
    blocks: int = 2
    """Residual blocks per resolution, encoder and decoder alike (the decoder has one more at the quarter)."""
    latent_channels: int = 32
    """Channels of the latent grid at an eighth of the resolution; a token is 2 x 2 of them."""
    latent_noise: float = 0.05
    """Noise added to unit-variance latents in training, so that small errors of the world model decode to small errors.
    """

    @property
    def grid(self) -> int:
        return self.size // 16

    @property
    def tokens(self) -> int:
        return self.grid**2

    @property
    def token_dim(self) -> int:
        return 4 * self.latent_channels


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(self.norm(x))))


class ImageCodec(nn.Module):
    """Images (B, S, S, 3) uint8 <-> tokens (B, G*G, C) float of about zero mean and unit variance."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ImageCodecConfig) -> None:
        super().__init__()
        self.config = config
        w, n = config.width, config.blocks
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, w, 3, padding=1),
            *[_Residual(w) for _ in range(n)],
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * w, 2 * w, 1),
            *[_Residual(2 * w) for _ in range(n)],
            nn.GroupNorm(8, 2 * w),
            nn.Conv2d(2 * w, config.latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(config.latent_channels, 2 * w, 3, padding=1),
            *[_Residual(2 * w) for _ in range(n)],
            nn.Conv2d(2 * w, 4 * w, 1),
            nn.PixelShuffle(2),
            *[_Residual(w) for _ in range(n + 1)],
            nn.GroupNorm(8, w),
            nn.SiLU(),
            nn.Conv2d(w, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )
        # Filled after training from the whole data set: the world model sees zero mean and unit variance.
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("std", torch.ones(config.latent_channels))
        for p in self.parameters():  # convolutions run faster with the channels innermost
            p.data = p.data.contiguous(memory_format=torch.channels_last) if p.ndim == 4 else p.data

    def grid_from_images(self, images_BHWC: Tensor) -> Tensor:
        """uint8 images -> raw latent grid (B, latent_channels, S/8, S/8)."""
        x = images_BHWC.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return self.encoder(x.contiguous(memory_format=torch.channels_last))

    def images_from_grid(self, grid: Tensor) -> Tensor:
        """Raw latent grid -> images (B, 3, S, S) in about [-1, 1]."""
        return self.decoder(grid.contiguous(memory_format=torch.channels_last))

    @torch.inference_mode()
    def encode(self, images_BHWC: Tensor) -> Tensor:
        """uint8 images (B, S, S, 3) -> normalised tokens (B, G*G, C) float32."""
        with autocast(images_BHWC.device):
            grid = self.grid_from_images(images_BHWC).float()
        grid = (grid - self.mean[:, None, None]) / self.std[:, None, None]
        return F.pixel_unshuffle(grid, 2).flatten(2).transpose(1, 2).contiguous()

    @torch.inference_mode()
    def decode(self, tokens_BNC: Tensor) -> Tensor:
        """Normalised tokens (B, G*G, C) -> uint8 images (B, S, S, 3)."""
        g = self.config.grid
        grid = F.pixel_shuffle(tokens_BNC.float().transpose(1, 2).unflatten(2, (g, g)), 2)
        grid = grid * self.std[:, None, None] + self.mean[:, None, None]
        with autocast(tokens_BNC.device):
            x = self.images_from_grid(grid).float()
        return ((x + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
