"""Features of a frozen encoder in place of pixels: a small transformer that is trained without actions, by predicting
the features of what is masked (Assran et al. 2023, I-JEPA, section 3; Bardes et al. 2024, V-JEPA, section 3.2).

It stands for the published encoders where those are too large; `codecs/vjepa2.py` loads one of them, with the same
`encode`.

Shapes: B pictures, S pixels a side, P = (S / patch)^2 patches, K visible ones, M masked ones, D width, T = P / merge^2
tokens of C = merge^2 * D numbers.
"""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presage.codecs.pixels import patches


@dataclass(frozen=True)
class FeatureConfig:
    size: int = 64
    """Pixels a side; a multiple of `patch * merge`"""
    patch: int = 8
    width: int = 64
    layers: int = 4
    heads: int = 4
    merge: int = 2
    """Patches a side that make one token: a world model pays for tokens, not for numbers in them"""
    predictor: int = 2
    """Layers of the predictor, which is of use in training alone"""
    frames: int = 4
    """The longest window that the predictor sees together"""

    def __post_init__(self) -> None:
        if self.size % (self.patch * self.merge):
            raise ValueError(f"pictures of {self.size} pixels are no grid of {self.merge} x {self.patch} pixels")

    @property
    def grid(self) -> int:
        return self.size // self.patch

    @property
    def tokens(self) -> int:
        return (self.grid // self.merge) ** 2

    @property
    def token_dim(self) -> int:
        return self.merge**2 * self.width


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x_BSD: Tensor) -> Tensor:
        b, s, d = x_BSD.shape
        q, k, v = self.qkv(self.norm_attention(x_BSD)).view(b, s, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # Plain products: on a CPU the fused kernel's backward pass is slower than these two lines.
        mixed = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1) @ v
        x_BSD = x_BSD + self.out(mixed.transpose(1, 2).reshape(b, s, d))
        return x_BSD + self.down(F.gelu(self.up(self.norm_mlp(x_BSD))))


class Encoder(nn.Module):
    """Patches of a picture, or some of them -> a feature vector each."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        d = config.width
        self.patches = nn.Linear(3 * config.patch**2, d)
        self.positions = nn.Parameter(torch.randn(config.grid**2, d) * 0.02)
        self.layers = nn.Sequential(*[_Layer(d, config.heads) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(d)

    def forward(self, images_BHWC: Tensor, visible_BK: Tensor | None = None) -> Tensor:
        """uint8 (B, S, S, 3) -> (B, P, D), of the visible patches alone (B, K, D)."""
        x = self.patches(coloured(images_BHWC, self.config.patch)) + self.positions
        if visible_BK is not None:
            x = take(x, visible_BK)
        return self.norm(self.layers(x))


class Predictor(nn.Module):
    """Features of masked patches, of those that are visible in the same and in other frames of a window."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        d = config.width
        self.read, self.out = nn.Linear(d, d), nn.Linear(d, d)
        self.colours = nn.Linear(d, 3 * config.patch**2)
        self.mask = nn.Parameter(torch.randn(d) * 0.02)
        self.positions = nn.Parameter(torch.randn(config.grid**2, d) * 0.02)
        self.times = nn.Parameter(torch.randn(config.frames, d) * 0.02)
        self.layers = nn.Sequential(*[_Layer(d, config.heads) for _ in range(config.predictor)])
        self.norm = nn.LayerNorm(d)

    def forward(self, seen_BNKD: Tensor, visible_BNK: Tensor, masked_BNM: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, N, M, D) and colours (B, N, M, 3 * patch^2), as `coloured` has them."""
        b, n, m = masked_BNM.shape
        times = self.times[:n, None]
        shown = self.read(seen_BNKD) + self.positions[visible_BNK] + times
        asked = self.mask + self.positions[masked_BNM] + times
        x = self.layers(torch.cat([shown.flatten(1, 2), asked.flatten(1, 2)], 1))
        x = self.norm(x[:, -n * m :]).unflatten(1, (n, m))
        return self.out(x), self.colours(x)


class FeatureCodec(nn.Module):
    """Pictures (B, S, S, 3) uint8 -> tokens (B, T, C) of layer-normed features. There is no way back to pixels."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.predictor = Encoder(config), Predictor(config)
        self.target = copy.deepcopy(self.encoder)

    @torch.no_grad()
    def follow(self, share: float) -> None:
        """Move the target encoder towards the one that is trained."""
        torch._foreach_lerp_(list(self.target.parameters()), list(self.encoder.parameters()), share)

    @torch.no_grad()
    def targets(self, images_BHWC: Tensor) -> Tensor:
        """(B, P, D) of mean 0 and variance 1 each, so that no patch can be predicted by being small (V-JEPA, 3.1)."""
        features = self.target(images_BHWC)
        return F.layer_norm(features.float(), features.shape[-1:])

    @torch.inference_mode()
    def encode(self, images_BHWC: Tensor) -> Tensor:
        return merged(self.targets(images_BHWC), self.config.merge)

    def decode(self, tokens_BTC: Tensor) -> Tensor:
        raise ValueError("features of a frozen encoder hold no picture: train a codec with a decoder to see something")


def coloured(images_BHWC: Tensor, patch: int) -> Tensor:
    """Colours of each patch in -1 .. 1: uint8 (B, S, S, 3) -> (B, P, 3 * patch^2)."""
    return patches(images_BHWC.float() / 127.5 - 1, patch)


def merged(features_BPD: Tensor, merge: int) -> Tensor:
    """Square neighbourhoods of patches as one token: (B, P, D) -> (B, P / merge^2, merge^2 * D)."""
    grid = int(features_BPD.shape[1] ** 0.5)
    x = features_BPD.transpose(1, 2).unflatten(2, (grid, grid))
    return F.pixel_unshuffle(x, merge).flatten(2).transpose(1, 2).contiguous()


def take(x_BPD: Tensor, index_BK: Tensor) -> Tensor:
    """Rows of each batch entry: (B, K, D)."""
    return x_BPD.gather(1, index_BK[..., None].expand(-1, -1, x_BPD.shape[-1]))
