"""Autoencode: fit an image codec, with weight on pixels that differ from the mean picture of their instruction.

The background is most of every frame and learned in minutes; gripper, object and goal are a few dozen pixels that
decide everything. The latents' mean and spread follow along, as those of a batch norm do.

Shapes: B windows, N rows, I = B * N pictures, S pixels a side.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from presage.networks.composed import Codec, Composed
from presage.training.batch import Batch, Term, Terms
from presage.training.codec import deviation_weight, scaled


class Autoencoder(Codec, Protocol):
    """A codec that can be trained: pictures <-> raw latent grids (I, C, G, G)."""

    mean: Tensor
    std: Tensor

    def grid_from_images(self, images: Tensor) -> Tensor: ...

    def images_from_grid(self, grid: Tensor) -> Tensor:
        """(I, 3, S, S) in about [-1, 1]"""
        ...


@dataclass(frozen=True)
class Autoencode:
    """Terms are named after the cameras' sources. Needs a stage with `raw`."""

    sources: str = "*"
    attention: float = 15.0
    """Weight of a fully deviating pixel, on top of 1"""
    noise: float = 0.05
    """Added to latents as a share of their spread, so that small errors of a world model decode to small errors"""
    follow: float = 0.02
    """How fast the latents' statistics follow the batches"""

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        chosen = {source: x for source, x in batch.pictures.items() if fnmatchcase(source, self.sources)}
        return {source: self._term(model, source, x, batch, generator) for source, x in chosen.items()}

    def _term(self, model: Composed, source: str, pictures: Tensor, batch: Batch, generator: torch.Generator) -> Term:
        codec = cast(Autoencoder, model.codec(source))  # whoever names this objective has chosen such a codec
        b, n = batch.exists.shape
        grid = codec.grid_from_images(pictures.flatten(0, 1))
        spread = grid.detach().float().std()
        noise = torch.randn(grid.shape, generator=generator).to(grid.device) * spread * self.noise
        output = codec.images_from_grid(grid + noise).float()
        image = scaled(pictures.flatten(0, 1))
        weight = deviation_weight(image, _mean_pictures(image, batch.text.repeat_interleave(n, 0)), self.attention)
        error = ((output - image).square() * weight).mean((1, 2, 3)) / weight.mean()
        self._measure(codec, grid.detach().float())
        scale = 1e-5 * grid.float().square().mean((1, 2, 3))  # keeps the scale of latents from wandering
        return Term((error + scale).view(b, n), batch.exists.float())

    def _measure(self, codec: Autoencoder, grid: Tensor) -> None:
        codec.mean.lerp_(grid.mean((0, 2, 3)), self.follow)
        codec.std.lerp_(grid.std((0, 2, 3)).clamp(min=1e-4), self.follow)


def _mean_pictures(image: Tensor, text: Tensor) -> Tensor:
    """(I, 3, S, S) for each picture the mean of those in the batch with the same instruction."""
    kinds, kind = text.flatten(1).unique(dim=0, return_inverse=True)
    member = F.one_hot(kind, len(kinds)).to(image)
    means = (member / member.sum(0)).T @ image.flatten(1)
    return means[kind].view_as(image)
