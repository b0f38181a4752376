"""Masked features: predict what an encoder says of patches that it does not see, of those that it does.

The target encoder is a moving average of the one that is trained (Bardes et al. 2024, V-JEPA, section 3.1; Assran et
al. 2025, V-JEPA 2, section 2.1: L1 to layer-normed targets). No action is needed, and nobody ever sees a picture drawn:
`colours` of masked patches are a second target (He et al. 2021, MAE, section 3), because features that are their own
target forget what is small before an encoder of minutes has learned what to keep.

Shapes: B windows, N rows, S pixels a side, P patches, K visible ones, M masked ones.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from presage.codecs.features import FeatureCodec, coloured, take
from presage.networks.composed import Composed
from presage.training.batch import Batch, Term, Terms


@dataclass(frozen=True)
class MaskedFeatures:
    """Terms are named after the cameras' sources, those of colours `<source>.colours`. Needs a stage with `raw`."""

    sources: str = "*"
    visible: float = 0.4
    """Share of patches that the encoder sees; what it does not see lies together"""
    follow: float = 0.004
    """How fast the target encoder follows, a step"""
    colours: bool = False
    """The predictor also says what masked patches look like"""

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        chosen = {source: x for source, x in batch.pictures.items() if fnmatchcase(source, self.sources)}
        terms: dict[str, Term] = {}
        for source, x in chosen.items():
            terms |= self._asked(model, source, x, batch, generator)
        return terms

    def _asked(self, model: Composed, source: str, pictures: Tensor, batch: Batch, generator: torch.Generator) -> Terms:
        codec = cast(FeatureCodec, model.codec(source))  # whoever names this objective has chosen such a codec
        codec.follow(self.follow)
        b, n = batch.exists.shape
        images, grid = pictures.flatten(0, 1), codec.config.grid
        count = max(1, round(self.visible * grid**2))
        order = masks(b * n, grid, generator).to(images.device)
        visible, masked = order[:, :count], order[:, count:]
        seen = codec.encoder(images, visible).unflatten(0, (b, n))
        said, drawn = codec.predictor(seen, visible.unflatten(0, (b, n)), masked.unflatten(0, (b, n)))
        pairs = {source: (said, codec.targets(images))}
        if self.colours:
            pairs[f"{source}.colours"] = (drawn, coloured(images, codec.config.patch))
        exists = batch.exists.float()
        return {
            name: Term((x.float() - take(truth, masked).unflatten(0, (b, n))).abs().mean((2, 3)), exists)
            for name, (x, truth) in pairs.items()
        }


def masks(count: int, grid: int, generator: torch.Generator) -> Tensor:
    """(count, P) patches of a grid, those to be shown first: smooth noise makes what is masked lie together, as blocks
    do, and every picture shows equally many."""
    coarse = torch.rand(count, 1, max(2, grid // 2), max(2, grid // 2), generator=generator)
    smooth = F.interpolate(coarse, (grid, grid), mode="bilinear", align_corners=False)[:, 0]
    return (smooth + 0.1 * torch.rand(count, grid, grid, generator=generator)).flatten(1).argsort(1)
