"""What pictures show some rows later, as patches that a network can be asked for in one pass.

Each patch is of mean 0 and variance 1, so that its shape counts and not its brightness (He et al. 2021, MAE, section 4;
Wu et al. 2023, GR-1, section 3.2: three rows ahead).

Shapes: R rows, S pixels a side, P = grid^2 patches, C numbers a patch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from presage.codecs.pixels import patches
from presage.training.recorded import Recorded, joined
from presage.training.stage import Make

SHRINK = 2
"""Pixels a side that are averaged: at a quarter of the numbers a hand and its object can still be told"""


def normalised_patches(images: Tensor, grid: int) -> Tensor:
    """uint8 (R, S, S, 3) -> (R, P, C), C = `numbers(S, grid)`."""
    small = F.avg_pool2d(images.movedim(-1, 1).float() / 255, SHRINK).movedim(1, -1)
    x = patches(small, small.shape[1] // grid)
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-3).sqrt()


def numbers(size: int, grid: int) -> int:
    """Numbers of a patch of pictures of `size` pixels a side."""
    return 3 * (size // SHRINK // grid) ** 2


def rows_ahead(length: np.ndarray, ahead: int) -> np.ndarray:
    """(R,) for each row the one so many later: the last of its episode where that ends before."""
    last = np.repeat(np.cumsum(length) - 1, length)
    return np.minimum(np.arange(len(last)) + ahead, last)


def foreseen(targets: Mapping[str, str], grid: int, ahead: int, kinds: Sequence[str], shuffled: bool = False) -> Make:
    """Data for a stage: those of `kinds` that there are, with streams that hold what is seen `ahead` rows later.

    targets: stream -> `image.<camera>` that it is about. shuffled: the rows of each episode in a random order.
    """

    def make(model: object, data: Mapping[str, Recorded]) -> Recorded:
        parts = [data[kind].shuffled() if shuffled else data[kind] for kind in kinds if kind in data]
        return joined([_with_futures(part, targets, grid, ahead) for part in parts])

    return make


def _with_futures(recorded: Recorded, targets: Mapping[str, str], grid: int, ahead: int, batch: int = 256) -> Recorded:
    later, latents = rows_ahead(recorded.length, ahead), dict(recorded.latents)
    for stream, source in targets.items():
        images = recorded.frames[source]
        parts = [images[later[i : i + batch]] for i in range(0, len(later), batch)]
        latents[stream] = np.concatenate(
            [normalised_patches(torch.from_numpy(part), grid).half().numpy() for part in parts]
        )
    return replace(recorded, latents=latents)
