"""Rollout: what a model says after some steps of its own predictions (Assran et al. 2025, V-JEPA 2-AC, section 3.2).

Teacher forcing shows the truth before every step, and a planner shows what was imagined. The windows are those of a
session that dreams: some true steps, then a question whose answer is appended as history, and the next question. The
gradient flows through what was appended.

Shapes: B windows, N rows, T tokens of a stream, C numbers a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from presage.timeline.backbone import Condition, Window
from presage.timeline.levels import GIVEN, UNKNOWN
from presage.timeline.sampler import predict
from presage.timeline.session import Model
from presage.timeline.streams import Stream, Values
from presage.training.batch import Batch, Term, Terms, per_step
from presage.training.objectives.denoise import at

ROLLOUT = ".rollout"
"""Behind the names of terms."""


@dataclass(frozen=True)
class Rollout:
    """Each imagined step is answered at once, from level 1. A base prediction must do without what it carries on."""

    steps: int = 2
    """The loss is that of the last one."""

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Terms:
        """Raises:
        ValueError: windows are too short.
        """
        b, n = batch.exists.shape
        if n <= self.steps:
            raise ValueError(f"a rollout of {self.steps} steps needs windows of more rows than {n}")
        streams, device = model.backbone.streams, batch.text.device
        newest = int(torch.randint(0, n - self.steps, (1,), generator=generator))
        condition = Condition(batch.text)
        truth = _window(streams, batch, torch.arange(newest + 1, device=device))
        last = {name: x[:, -1:] for name, x in truth.values.items()}
        memory = model.backbone([truth], model.backbone.start(b), condition).memory
        for i in range(1, self.steps + 1):
            now = torch.full((1,), newest + i, device=device)
            asked, noise = _question(streams, batch, now, generator)
            base = {} if model.base is None else model.base(last, None, asked, condition)
            raw = model.backbone([replace(asked, base=base)], memory, condition).raw[0]
            raw = {name: x + base[name] if name in base else x for name, x in raw.items()}
            if i < self.steps:
                last = {name: predict(s, *_shown(asked, name, raw)) for s in streams if (name := s.name) in raw}
                memory = model.backbone([_window(streams, batch, now, last)], memory, condition).memory
        terms = {}
        for s in (s for s in streams if s.name in raw):
            target = at(batch.values[s.name], s, asked.steps)
            _, x, level = _shown(asked, s.name, raw)
            error = per_step(s.corruption.error(raw[s.name], target, x, noise[s.name], level), batch.has.get(s.name))
            counts = at(batch.there(s), s, asked.steps) & (level > 0)  # what is given costs nothing
            terms[s.name + ROLLOUT] = Term(error, counts.float())
        return terms


def _window(streams: Sequence[Stream], batch: Batch, steps: Tensor, imagined: Values | None = None) -> Window:
    """History at steps (M,): as it was recorded, or as it was imagined."""
    expanded = steps.expand(len(batch.exists), -1)
    values, levels, present = {}, {}, {}
    for s in (s for s in streams if s.imagined and s.name in batch.values):
        shown = at(batch.values[s.name], s, expanded)
        there = at(batch.there(s), s, expanded) & ((expanded > 0) | (not s.acts))  # nothing led to the first
        if imagined is not None and s.name in imagined:
            shown, there = imagined[s.name], torch.ones_like(there)
        values[s.name], present[s.name] = shown, there
        levels[s.name] = (~there).float() if s.acts else torch.zeros_like(there, dtype=torch.float32)
    levels |= {s.name: torch.ones(expanded.shape, device=steps.device) for s in streams if s.asked}
    return Window(values, levels, expanded, remember=True, present=present)


def _question(
    streams: Sequence[Stream], batch: Batch, step: Tensor, generator: torch.Generator
) -> tuple[Window, Values]:
    """What is done is given; all else is unknown."""
    steps = step.expand(len(batch.exists), -1)
    levels, values, present, noise = {}, {}, {}, {}
    for s in (s for s in streams if s.imagined and s.name in batch.values):
        target, there = at(batch.values[s.name], s, steps), at(batch.there(s), s, steps)
        level = torch.full(steps.shape, GIVEN if s.acts else UNKNOWN, device=step.device)
        noise[s.name] = torch.randn(target.shape, generator=generator).to(target.device)
        if s.acts:
            values[s.name], present[s.name], level = target, there, torch.where(there, level, 1.0)
        elif not s.corruption.one_pass:
            values[s.name] = s.corruption.corrupt(target, level, noise[s.name])
        levels[s.name] = level
    return Window(values, levels, steps, present=present), noise


def _shown(question: Window, name: str, raw: Values) -> tuple[Tensor, Tensor, Tensor]:
    """The network's output, what it was shown, and the level."""
    return raw[name], question.values.get(name, raw[name]), question.levels[name]
