"""Batches: windows of recorded rows as a model's values, and the terms that an objective makes of them.

Shapes: B windows, N rows, T tokens of a stream, C numbers a token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from presage.timeline.streams import Stream, Values


@dataclass(frozen=True, eq=False)
class Batch:
    """B windows of N rows, normalised. What the robot does is recorded at row i after what is seen there: it leads to
    row i + 1."""

    values: Values
    """stream -> (B, N, T, C)"""
    text: Tensor
    """(B, ...) as the model embeds it"""
    exists: Tensor
    """(B, N) False where the row is padding past the episode's end"""
    present: dict[str, Tensor] = field(default_factory=dict)
    """stream -> (B, N) False where it was not recorded; absent: wherever the row exists"""
    quality: Tensor | None = None
    """(B, N) of what was done: 1 like an expert, 0 not, NaN unknown; None: all unknown"""
    dreamed: Values = field(default_factory=dict)
    """what the model itself dreamed of these rows: stream -> (B, N, T, C); empty: no dreams"""
    dream_known: Tensor | None = None
    """(B, N) False where `dreamed` has no row"""
    has: Values = field(default_factory=dict)
    """stream -> (B, 1, 1, C) False for numbers that the robot of a window has not; absent: all have all"""
    emphasis: Values = field(default_factory=dict)
    """stream -> (B, N, T, C) how much each number counts; absent: all the same"""
    to_success: Tensor | None = None
    """(B, N) rows until one shows a success, infinite where none comes, NaN unknown; None: all unknown"""
    pictures: dict[str, Tensor] = field(default_factory=dict)
    """`image.<camera>` -> (B, N, S, S, 3) uint8 in place of values, where a stage reads pictures; else empty"""

    def there(self, stream: Stream) -> Tensor:
        """(B, N) where the stream was recorded."""
        return self.present.get(stream.name, self.exists)

    def to(self, device: torch.device) -> "Batch":
        return Batch(**{f.name: _to(getattr(self, f.name), device) for f in fields(self)})


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, dict):
        return {name: x.to(device) for name, x in value.items()}
    return value if value is None else value.to(device)


def cat_batches(parts: list[Batch]) -> Batch:
    """One batch of the windows of several."""
    return Batch(**{f.name: _cat([getattr(p, f.name) for p in parts]) for f in fields(Batch)})


def _cat(values: list[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: torch.cat([v[name] for v in values]) for name in values[0]}
    return None if values[0] is None else torch.cat(values)


@dataclass(frozen=True, eq=False)
class Term:
    """An error of each step, and where it counts."""

    error: Tensor
    """(B, N)"""
    weight: Tensor
    """(B, N), 0 where nothing was to be learned"""

    @property
    def mean(self) -> Tensor:
        """The mean where it counts, 0 where it counts nowhere."""
        return (self.error * self.weight).sum() / self.weight.sum().clamp(min=1)


Terms = dict[str, Term]


def one_term(loss: Tensor) -> Terms:
    """A loss that is a number already."""
    return {"loss": Term(loss.view(1, 1), torch.ones(1, 1, device=loss.device))}


@dataclass(frozen=True)
class Later:
    """A weight that is 0 before a step of the training."""

    weight: float
    step: int

    def __call__(self, step: int) -> float:
        return self.weight if step >= self.step else 0.0


Weights = Mapping[str, float | Later]
"""Pattern of the names of terms -> weight"""


def weights_at(weights: Weights, step: int) -> dict[str, float]:
    """The weights of a step of the training."""
    return {name: w(step) if isinstance(w, Later) else w for name, w in weights.items()}


def weighted(terms: Terms, weights: Mapping[str, float]) -> Tensor:
    """The loss: terms by the weight of the first pattern that matches; those of one pattern are averaged. A pattern
    that matches none is passed over: an objective need not ask for all of its terms at every step.

    Raises:
        ValueError: a term has no weight.
    """
    first = next(iter(terms.values()), None)
    total, left = torch.zeros((), device=None if first is None else first.error.device), dict(terms)
    for pattern, weight in weights.items():
        chosen = [left.pop(name) for name in list(left) if fnmatchcase(name, pattern)]
        if chosen:
            total = total + weight * torch.stack([t.mean for t in chosen]).mean()
    if left:
        raise ValueError(f"no weight for {', '.join(left)}: weights are for {', '.join(weights)}")
    return total


def per_step(error: Tensor, has: Tensor | None, emphasis: Tensor | None = None) -> Tensor:
    """(B, N) mean of errors (B, N, T, C) over the numbers that there are: `has` (B, 1, 1, C), all by default; weighted
    by `emphasis` (B, N, T, C), which its sum is taken out of."""
    if emphasis is not None:
        return (error * emphasis).sum((2, 3)) / emphasis.sum((2, 3))
    if has is None:
        return error.mean((2, 3))
    return (error * has).sum((2, 3)) / (has.sum((2, 3)).clamp(min=1) * error.shape[2])
