"""Noise that follows its row: every row of a batch draws from a stream of its own, whatever rows are beside it.

Streams are numpy's, on any device: a dream is the same on a CPU and on a GPU. A child's stream follows from its
parent's and from how many children that had before (`numpy.random.SeedSequence.spawn`), so no two are alike and all are
repeatable.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Streams = list[np.random.Generator]
Seed = int | tuple[int, ...]


def streams(seed: int | Sequence[Seed], rows: int) -> Streams:
    """One stream a row, row i being the i-th child of `seed`; of several seeds, one a row, it is the first of its own.

    Raises:
        ValueError: a seed is negative, or there is not one a row.
    """
    if isinstance(seed, int | np.integer):
        return np.random.default_rng(seed).spawn(rows)
    if len(seed) != rows:
        raise ValueError(f"{len(seed)} seeds for {rows} rows")
    return [np.random.default_rng(own).spawn(1)[0] for own in seed]


def children(parents: Streams, n: int, seed: int | None = None) -> Streams:
    """n streams of every parent, side by side: new ones each time, or those that belong to a `seed`."""
    if seed is not None:  # the parent's state in 128 bits, so that rows differ under the same seed
        parents = [np.random.default_rng([*p.bit_generator.seed_seq.generate_state(4), seed]) for p in parents]
    return [child for parent in parents for child in parent.spawn(n)]


def draw(rows: Streams, shape: Sequence[int], device: torch.device) -> Tensor:
    """Standard normal numbers (rows, *shape), float32."""
    drawn = [row.standard_normal(shape, np.float32) for row in rows]
    return torch.from_numpy(np.stack(drawn)).to(device)
