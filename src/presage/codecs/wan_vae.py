"""Wan 2.1's video autoencoder as presage's image codec, and as the streaming video codec it was published as.

It is causal in time: the first frame of a clip becomes one latent frame, every four after it another. A model step of
presage shows one frame per action chunk, and that frame is encoded as a clip of its own ("first frame"). So a latent
follows from its frame alone: truth overwrites what was imagined without encoding anything again, sessions fork and
rewind without carrying the state of convolutions, and a dataset's latents do not depend on where a window begins. The
price is in docs/decisions.md. `StreamingEncoder` is for recordings that have every frame.

Shapes: B images or videos, F frames, S pixels a side, G = S / 16 tokens a side, C = 4 * latent_channels.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

_AT_ONCE = 16
"""Images encoded or decoded in one pass: at 256 pixels each takes 25 MB a feature map."""
FRAMES_PER_LATENT = 4


@dataclass(frozen=True)
class WanCodecConfig:
    size: int = 64
    """Pixels a side; a multiple of 16."""
    latent_channels: int = 16

    @property
    def grid(self) -> int:
        return self.size // 16

    @property
    def tokens(self) -> int:
        return self.grid**2

    @property
    def token_dim(self) -> int:
        return 4 * self.latent_channels


class WanCodec(nn.Module):
    """Images (B, S, S, 3) uint8 <-> tokens (B, G*G, C) float: 2 x 2 patches of normalised latents, channel by
    channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: WanCodecConfig, vae: "AutoencoderKLWan") -> None:
        super().__init__()
        self.config = config
        self.vae = vae.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(vae.config.latents_mean).view(-1, 1, 1, 1))
        self.register_buffer("std", torch.tensor(vae.config.latents_std).view(-1, 1, 1, 1))

    @torch.inference_mode()
    def encode(self, images_BHWC: Tensor) -> Tensor:
        """uint8 images (B, S, S, 3) -> tokens (B, G*G, C) float32, each image as the first frame of a clip."""
        parts = [
            self.normalise(self.vae.encode(_pixels(x[:, None])).latent_dist.mode()) for x in images_BHWC.split(_AT_ONCE)
        ]
        return tokens_from_latents(torch.cat(parts)[:, :, 0])

    @torch.inference_mode()
    def decode(self, tokens_BNC: Tensor) -> Tensor:
        """Tokens (B, G*G, C) -> uint8 images (B, S, S, 3)."""
        latents = latents_from_tokens(tokens_BNC.float(), self.config.grid)[:, :, None] * self.std + self.mean
        pixels = torch.cat([self.vae.decode(z).sample for z in latents.split(_AT_ONCE)])[:, :, 0]
        return ((pixels + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def normalise(self, latents: Tensor) -> Tensor:
        """Raw latents (B, Z, F, h, w) -> zero mean and unit variance, by the published statistics."""
        return (latents - self.mean) / self.std


class StreamingEncoder:
    """B videos, a model step's frames at a time: the causal convolutions remember what they saw.

    The latents equal those of the whole clip encoded at once. The first call takes one frame, every later one four.
    """

    def __init__(self, codec: WanCodec) -> None:
        from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

        self.codec = codec
        convolutions = sum(isinstance(m, WanCausalConv3d) for m in codec.vae.encoder.modules())
        self._past: list[Any] = [None] * convolutions
        self._begun = False

    @torch.inference_mode()
    def push(self, frames_BFHWC: Tensor) -> Tensor:
        """uint8 frames (B, F, H, W, 3) -> the next normalised latent frame (B, Z, H/8, W/8).

        Raises:
            ValueError: not one frame at first, or not four later.
        """
        wanted = FRAMES_PER_LATENT if self._begun else 1
        if frames_BFHWC.shape[1] != wanted:
            raise ValueError(f"{frames_BFHWC.shape[1]} frames: the first call takes 1, later ones {FRAMES_PER_LATENT}")
        self._begun = True
        vae = self.codec.vae
        features = vae.encoder(_pixels(frames_BFHWC), feat_cache=self._past, feat_idx=[0])
        mean, _ = vae.quant_conv(features).chunk(2, 1)
        return self.codec.normalise(mean)[:, :, 0]


def encode_clip(codec: WanCodec, frames_BFHWC: Tensor) -> Tensor:
    """uint8 clips (B, 1 + 4k, H, W, 3) -> normalised latents (B, Z, 1 + k, H/8, W/8).

    Raises:
        ValueError: the number of frames is not 1 + 4k.
    """
    stream = StreamingEncoder(codec)
    parts = [frames_BFHWC[:, :1], *frames_BFHWC[:, 1:].split(FRAMES_PER_LATENT, 1)]
    return torch.stack([stream.push(part) for part in parts if part.shape[1]], 2)


def tokens_from_latents(latents: Tensor) -> Tensor:
    """(B, Z, h, w) -> (B, h/2 * w/2, 4 Z)."""
    return F.pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2).contiguous()


def latents_from_tokens(tokens: Tensor, rows: int) -> Tensor:
    """(B, rows * columns, 4 Z) -> (B, Z, 2 rows, 2 columns)."""
    return F.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, (rows, -1)), 2)


def _pixels(frames_BFHWC: Tensor) -> Tensor:
    """uint8 -> (B, 3, F, H, W) in [-1, 1]."""
    return frames_BFHWC.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
