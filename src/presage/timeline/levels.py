"""Noise levels are the modes: roles draw them in training, schedules walk them down in a session.

Level 0 is given, level 1 is unknown. Patterns (`video.*`) name streams; a stream that no pattern matches follows its
nature: `acts` for what the robot does, `sees` for what is seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from presage.timeline.streams import Stream

GIVEN, UNKNOWN = 0.0, 1.0
T = TypeVar("T")


class Draw(Protocol):
    """A distribution of levels. Within a mixture, equal draws are one draw: streams that have them share a level. One
    that is to be independent of its equal has another `name`."""

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        """n levels (n,) in [0, 1]."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Uniform:
    """Uniform in [0, high), and exactly 1, where every sampler starts, with probability `full_noise`."""

    full_noise: float = 0.0
    name: str = ""
    high: float = 1.0

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        k = torch.rand(n, generator=generator) * self.high
        return torch.where(torch.rand(n, generator=generator) < self.full_noise, torch.ones(n), k)


@dataclass(frozen=True)
class Beta:
    """Beta(a, b): mostly noise where a > b."""

    a: float
    b: float
    name: str = ""

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        seed = int(torch.randint(2**31, (1,), generator=generator))
        return torch.from_numpy(np.random.default_rng(seed).beta(self.a, self.b, n)).float()


def _pick(stream: Stream, sees: T, acts: T, streams: Mapping[str, T]) -> T:
    """What is said of a stream: by the first pattern that matches, else by its nature."""
    for pattern, said in streams.items():
        if fnmatchcase(stream.name, pattern):
            return said
    return acts if stream.acts else sees


@dataclass(frozen=True)
class Role:
    """Levels of one use of the model. None: the question does not hold the stream."""

    sees: Draw | float | None
    acts: Draw | float | None
    streams: Mapping[str, Draw | float | None] = field(default_factory=dict)
    weight: float = 1.0

    def of(self, stream: Stream) -> Draw | float | None:
        return _pick(stream, self.sees, self.acts, self.streams)


@dataclass(frozen=True)
class Levels:
    """A mixture of roles; weights need not add to 1."""

    roles: tuple[Role, ...]
    per_step: bool = True
    """Every step of a window has levels of its own; else one for all of them."""

    def draw(self, streams: Sequence[Stream], batch: int, steps: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Stream -> levels (batch, steps), of the streams that the question holds.

        Raises:
            ValueError: some roles hold a stream and others do not.
        """
        n = batch * steps if self.per_step else batch
        weights = torch.tensor([role.weight for role in self.roles])
        chosen = torch.multinomial(weights, n, replacement=True, generator=generator)
        drawn: dict[Draw, Tensor] = {}
        for role in self.roles:
            for source in (role.sees, role.acts, *role.streams.values()):
                if source is not None and not isinstance(source, float) and source not in drawn:
                    drawn[source] = source(n, generator)
        out = {}
        for s in streams:
            sources = [x for role in self.roles if (x := role.of(s)) is not None]
            if not sources:
                continue
            if len(sources) < len(self.roles):
                raise ValueError(f"{s.name}: held by some roles of a mixture and not by others")
            levels = torch.stack([torch.full((n,), x) if isinstance(x, float) else drawn[x] for x in sources])
            level = levels.gather(0, chosen[None])[0]
            out[s.name] = level.view(batch, -1).expand(batch, steps)
        return out


Level = float | tuple[float, ...]
"""Of all steps of a question, or of each."""
Walk = tuple[Level, ...]
"""Levels from start to end, one more than denoising steps."""


@dataclass(frozen=True)
class Schedule:
    """How levels are walked down. None: the question does not hold the stream."""

    sees: Walk | None
    acts: Walk | None
    streams: Mapping[str, Walk | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        walks = [w for w in (self.sees, self.acts, *self.streams.values()) if w is not None]
        if len({len(w) for w in walks}) != 1:
            raise ValueError(f"levels of a schedule are of {', '.join(str(len(w) - 1) for w in walks)} steps")
        wrong = [x for walk in walks for level in walk for x in levels_of(level) if not GIVEN <= x <= UNKNOWN]
        if wrong:
            raise ValueError(f"a level of {wrong[0]}: levels are 0 (clean) to 1 (noise)")

    @property
    def steps(self) -> int:
        return next(len(w) - 1 for w in (self.sees, self.acts, *self.streams.values()) if w is not None)

    def walks(self, streams: Sequence[Stream]) -> dict[str, Walk]:
        """Of the streams that a question holds."""
        said = {s.name: _pick(s, self.sees, self.acts, self.streams) for s in streams if not s.asked}
        return {name: walk for name, walk in said.items() if walk is not None}

    @staticmethod
    def joint(steps: int) -> "Schedule":
        return Schedule(down(steps), down(steps))

    @staticmethod
    def policy(steps: int) -> "Schedule":
        """The action alone: imagination is skipped."""
        return Schedule(None, down(steps))

    @staticmethod
    def marginal(steps: int) -> "Schedule":
        """The action, whatever it leads to: what is seen stays noise (Zhu et al. 2025, UWM, section 3)."""
        return Schedule(flat(UNKNOWN, steps), down(steps))

    @staticmethod
    def forward(steps: int) -> "Schedule":
        """What a given action leads to."""
        return Schedule(down(steps), flat(GIVEN, steps))

    @staticmethod
    def inverse(steps: int) -> "Schedule":
        """The action between what is given."""
        return Schedule(flat(GIVEN, steps), down(steps))

    @staticmethod
    def video(steps: int) -> "Schedule":
        """What may come, whatever the robot does."""
        return Schedule(down(steps), flat(UNKNOWN, steps))

    @staticmethod
    def in_turn(sees: int, acts: int, stop: float = 0.0) -> "Schedule":
        """What is seen first, down to level `stop`, then the action."""
        return Schedule(down(sees, stop) + flat(stop, acts - 1), flat(UNKNOWN, sees - 1) + down(acts))

    @staticmethod
    def pyramid(steps: int, length: int, lag: int = 1) -> "Schedule":
        """A clip of `length` steps, each denoised in `steps` steps and `lag` of them behind the one before it (Chen et
        al. 2024)."""
        times = range(steps + lag * (length - 1) + 1)
        walk = tuple(tuple(min(1.0, max(0.0, 1 - (i - lag * n) / steps)) for n in range(length)) for i in times)
        return Schedule(walk, walk)


def down(steps: int, stop: float = 0.0) -> Walk:
    """From unknown to `stop` in equal steps."""
    return tuple(1 - (1 - stop) * i / steps for i in range(steps + 1))


def flat(level: float, steps: int) -> Walk:
    return (level,) * (steps + 1)


def levels_of(level: Level) -> tuple[float, ...]:
    """Those of each step, or the one of all."""
    return level if isinstance(level, tuple) else (level,)
