"""The only place where levels are walked: from noise, or what is given, to clean values.

Shapes: B batch, N steps of a question, T tokens of a stream, C numbers a token.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from presage.timeline.backbone import Backbone, Condition, Window
from presage.timeline.levels import Level, Schedule
from presage.timeline.memory import Entry, Memory
from presage.timeline.streams import Stream, Values

BaseOf = Callable[[Window], Values]
"""The base prediction of a question, stream -> (B, N, T, C); empty where there is none."""


@dataclass(frozen=True)
class Guidance:
    """Clean values are pushed away from what is predicted without a condition (Ho & Salimans 2022)."""

    scale: Mapping[str, float]
    """Stream pattern -> weight; 1 changes nothing. Streams that no pattern matches are not guided."""
    without: Condition | None = None
    """The condition that is compared with; None: the same, without history (Song et al. 2025, history guidance)."""

    def of(self, stream: Stream) -> float:
        return next((scale for pattern, scale in self.scale.items() if fnmatchcase(stream.name, pattern)), 1.0)


def predict(stream: Stream, raw: Tensor, x_k: Tensor, level: Tensor, base: Tensor | None = None) -> Tensor:
    """The clean value (B, N, T, C) that a network's output stands for. With a base prediction, the output is a change
    of it."""
    return stream.corruption.clean(raw if base is None else raw + base, x_k, level)


def walk(
    backbone: Backbone,
    memory: Memory[Entry],
    condition: Condition,
    schedule: Schedule,
    start: Values,
    steps: Tensor,
    streams: Sequence[Stream],
    base: BaseOf = lambda question: {},
    quality: float | None = None,
    guidance: Guidance | None = None,
    reuse: int = 1,
) -> Values:
    """Walk the streams of a question down their levels.

    Args:
        start: what each imagined stream starts with: (B, N, T, C), noise or what is given; a query without values.
        steps: (B, N) absolute steps of the question; several are imagined together.
        streams: of the model; the question holds those that the schedule names.
        reuse: ask the network at every so many-th level only, and keep its last answer between.

    Returns:
        values (B, N, T, C) at the schedule's last levels.
    """
    x, walks = dict(start), schedule.walks(streams)
    told = None if quality is None else torch.full(steps.shape, quality, device=steps.device)
    clean: Values = {}
    based: tuple[frozenset[str], Values] = (frozenset(), {})
    for i in range(schedule.steps):
        now = {name: levels_at(w[i], steps) for name, w in walks.items()}
        to = {name: levels_at(w[i + 1], steps) for name, w in walks.items()}
        walked = [s for s in streams if s.imagined and s.name in walks]
        moving = [s for s in walked if walks[s.name][i] != walks[s.name][i + 1]]
        question = Window(dict(x), now, steps, together=True, quality=told)
        given = frozenset(name for name, level in now.items() if not level.any())
        if i == 0 or given != based[0]:  # what is expected depends on what is given, and costs a pass
            based = (given, base(question))
        if i % reuse == 0 or any(s.name not in clean for s in moving):
            clean = _ask(backbone, memory, condition, question, moving, based[1], guidance)
        for s in moving:
            before, stays = x.get(s.name, clean[s.name]), (now[s.name] == to[s.name])[..., None, None]
            after = s.corruption.step(before, clean[s.name], now[s.name], to[s.name])
            x[s.name] = torch.where(stays, before, after)  # steps of a clip go down at their own times
    return x


def _ask(
    backbone: Backbone,
    memory: Memory[Entry],
    condition: Condition,
    question: Window,
    moving: Sequence[Stream],
    base: Values,
    guidance: Guidance | None,
) -> Values:
    def ask(seen: Memory[Entry], told: Condition) -> Values:
        raw = backbone([replace(question, base=base)], seen, told).raw[0]
        x, level = question.values, question.levels
        return {
            s.name: predict(s, raw[s.name], x.get(s.name, raw[s.name]), level[s.name], base.get(s.name)) for s in moving
        }

    clean = ask(memory, condition)
    if guidance is not None:
        without = (
            ask(memory, guidance.without) if guidance.without else ask(backbone.start(len(question.steps)), condition)
        )
        for s in moving:
            clean[s.name] = without[s.name] + guidance.of(s) * (clean[s.name] - without[s.name])
    return clean


def levels_at(level: Level, steps: Tensor) -> Tensor:
    """(B, N) of the level of all steps, or of one each."""
    if isinstance(level, tuple):
        return torch.tensor(level, device=steps.device).expand(steps.shape)
    return torch.full(steps.shape, level, device=steps.device)
