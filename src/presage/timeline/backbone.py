"""The seam: what a network is shown, and what it answers. Training and sessions make the same call.

Training passes `[history, question, question]` and an empty memory; a session passes one window and a full one. So what
is trained is what a session computes.

Shapes: B batch, N steps, T tokens of a stream, C numbers a token, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor

from presage.timeline.memory import Entry, Memory
from presage.timeline.streams import Stream, Values


@dataclass(frozen=True, eq=False)
class Condition:
    """What holds for a whole episode."""

    text: Tensor
    """(B, ...) instructions, as the model embeds them"""
    goal: Values = field(default_factory=dict)
    """Values (B, T, C) of a frame to be reached"""
    gesture: Tensor | None = None
    """(B, G) where to act, and what to do there"""
    context: int | None = None
    """How many steps back anything looks; None: as far as the network can. With 0 a question sees the newest step
    alone, and that step was read as if it were the first."""

    def each(self, rows: Callable[[Tensor], Tensor]) -> "Condition":
        gesture = None if self.gesture is None else rows(self.gesture)
        return replace(self, text=rows(self.text), goal={k: rows(x) for k, x in self.goal.items()}, gesture=gesture)


@dataclass(frozen=True, eq=False)
class Window:
    """N steps of B timelines. The keys of `levels` are the streams that it holds."""

    values: Values
    """(B, N, T, C), corrupted to their levels; a stream without values is asked for by its query alone"""
    levels: dict[str, Tensor]
    """(B, N)"""
    steps: Tensor
    """(B, N) absolute"""
    remember: bool = False
    """History, which enters the memory; else a question, which sees what was before it and leaves no trace."""
    together: bool = False
    """The steps of a question see each other, as one clip; else each is a question of its own."""
    present: dict[str, Tensor] = field(default_factory=dict)
    """(B, N) False where a stream was not recorded; absent: recorded"""
    base: Values = field(default_factory=dict)
    """(B, N, T, C) the base prediction of a question, for networks that begin from it"""
    quality: Tensor | None = None
    """(B, N) how well the robot behaves: 1 like an expert, 0 not, NaN untold; None: untold"""


@dataclass(frozen=True)
class Tap:
    """Where features are read."""

    layer: int | None = None
    """After so many layers, as they are; None: after the last, as the output layers see them"""

    @staticmethod
    def of(layers: int) -> "Tap":
        """Two thirds of the way: late layers turn back to pixels (Hu et al. 2024, VPP, tap half-way up, too)."""
        return Tap(max(1, round(layers * 2 / 3)))


@dataclass(frozen=True, eq=False)
class Output:
    raw: list[Values]
    """One a window: for a question what each imagined stream's corruption turns into a clean value (B, N, T, C), for
    history the streams that are asked at every step"""
    memory: Memory[Entry]
    """The memory with one more entry for each step of history"""
    features: list[Values] | None = None
    """One a window, at the tap: stream -> (B, N, T, D)"""
    recalled: list[Values] | None = None
    """One a window, in training, of networks that compose pictures: stream -> (B, N, T, C) log-odds that a number is
    taken from the oldest picture that was seen"""


class Backbone(Protocol):
    """All that a network has to offer."""

    @property
    def streams(self) -> Sequence[Stream]:
        """In the order of their tokens."""
        ...

    def start(self, batch: int) -> Memory[Entry]:
        """Nothing seen yet."""
        ...

    def __call__(
        self, windows: Sequence[Window], memory: Memory[Entry], condition: Condition, tap: Tap | None = None
    ) -> Output: ...


class Base(Protocol):
    """A prediction in the simplest way, that the model's own answers are changes of."""

    @property
    def redraws(self) -> bool:
        """It can show the next step by itself, without the network."""
        ...

    def remember(self, values: Values, before: Values, carried: Tensor | None) -> Tensor | None:
        """(B, M) what it carries on from a step of `values` (B, T, C), the step before being `before` (empty: none)."""
        ...

    def complete(self, values: Values, carried: Tensor | None, given: Values) -> Values:
        """`given` (B, T, C) of the next step, and what follows from it where the newest step is `values`."""
        ...

    def __call__(self, newest: Values, carried: Tensor | None, question: Window, condition: Condition) -> Values:
        """Stream -> (B, N, T, C), where each step of a question comes after `newest` (B, N, T, C)."""
        ...
