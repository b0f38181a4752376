"""Streams: what a step of a timeline is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor

from presage.timeline.corruption import Corruption, Flow

Values = dict[str, Tensor]
"""Stream name -> normalised values (B, T, C) of one step, or (B, N, T, C) of N."""


@dataclass(frozen=True)
class Stream:
    """One kind of token. What it is, its fields say; its name says nothing."""

    name: str
    tokens: int
    """Tokens per step."""
    dim: int
    """Numbers per token."""
    corruption: Corruption = Flow()
    acts: bool = False
    """The robot does it on its way to a step; all else is what there is at the step."""
    seen: bool = True
    """Other tokens may look at it (not at the queries of GR-1, section 3.2)."""
    derive: Callable[[Values], Tensor | None] | None = None
    """Computes it from the values of other streams, in one step or several; None where they are not all there. A
    derived stream is shown and never predicted."""
    source: str = ""
    """Key of an observation, or column of a dataset, that it is encoded from."""
    offsets: tuple[float, ...] = ()
    """When its tokens are, in steps after the step that they belong to, one a token; all at the step by default."""

    def __post_init__(self) -> None:
        if self.offsets and len(self.offsets) != self.tokens:
            raise ValueError(f"stream {self.name!r}: {len(self.offsets)} offsets for {self.tokens} tokens")

    @property
    def asked(self) -> bool:
        """Nothing is ever shown of it: it is an answer to what is seen, at every step."""
        return self.corruption.one_pass and not self.seen

    @property
    def imagined(self) -> bool:
        """Has values of its own that a schedule walks down."""
        return not self.asked and self.derive is None


def matching(streams: Sequence[Stream], pattern: str) -> list[Stream]:
    """Streams whose names match a pattern with `*`.

    Raises:
        ValueError: none does.
    """
    found = [s for s in streams if fnmatchcase(s.name, pattern)]
    if not found:
        raise ValueError(f"no stream is called {pattern!r}: there are {', '.join(s.name for s in streams)}")
    return found
