"""What is kept of the past, step by step: fork, rewind, eviction and batched serving are five operations on it.

An entry is any frozen dataclass whose tensors have the batch first; entries may nest and hold dicts of tensors. What
an entry holds is its network's business: keys and values, past frames, a hidden state.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

E = TypeVar("E")


@dataclass(frozen=True, eq=False)
class Entry:
    """One step in a network's memory."""

    steps: Tensor
    """(B,) absolute"""
    kept: dict[str, Tensor]
    """(B, ...) each"""
    what: tuple[str, ...] = ()
    """Names of the streams that the tensors are of, the same in all rows"""


@dataclass(frozen=True, eq=False)
class Memory(Generic[E]):
    """Entries of consecutive steps, the newest last."""

    entries: tuple[E, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[E]:
        return iter(self.entries)

    def add(self, *entries: E) -> "Memory[E]":
        return Memory(self.entries + entries)

    def truncate(self, length: int) -> "Memory[E]":
        """The oldest `length` entries."""
        return Memory(self.entries[:length])

    def recent(self, length: int) -> "Memory[E]":
        """The newest `length` entries."""
        return Memory(self.entries[max(0, len(self.entries) - length) :])

    def select(self, rows: Tensor) -> "Memory[E]":
        """Rows (R,) of the batch."""
        return self._each(lambda x: x.index_select(0, rows))

    def repeat(self, n: int) -> "Memory[E]":
        """Each row n times, side by side."""
        return self._each(lambda x: repeat(x, n))

    def copied(self) -> "Memory[E]":
        """Tensors of its own, which gradients may flow through even if they were made in inference mode."""
        return self._each(torch.clone)

    @staticmethod
    def join(memories: "Sequence[Memory[E]]") -> "Memory[E]":
        """The batches of memories of equal length in a row."""
        return Memory(tuple(together(torch.cat, entries) for entries in zip(*memories, strict=True)))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Memory[E]":
        return Memory(tuple(together(lambda xs: change(xs[0]), [entry]) for entry in self.entries))


def repeat(x: Tensor, n: int) -> Tensor:
    """Each row n times; a single row is expanded, which shares its memory."""
    return x.expand(n, *x.shape[1:]) if len(x) == 1 else x.repeat_interleave(n, 0)


def together(change: Callable[[list[Tensor]], Tensor], values: Sequence[Any]) -> Any:
    """`change` of each tensor in nested values of the same structure; what is no tensor is the first's. A dict keeps
    the keys that all have."""
    first = values[0]
    if isinstance(first, Tensor):
        return change(list(values))
    if isinstance(first, dict):
        shared = [key for key in first if all(key in value for value in values)]
        return {key: together(change, [value[key] for value in values]) for key in shared}
    if is_dataclass(first) and not isinstance(first, type):
        names = [f.name for f in fields(first)]
        return replace(first, **{n: together(change, [getattr(v, n) for v in values]) for n in names})
    return first
