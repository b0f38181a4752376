"""Denoise: every noise level of every stream of a window, teacher-forced on its clean past.

A window of N rows becomes three windows of one call:

    history    steps 0 .. N-1   (a[i-1], o[i])   the past that everything else looks at
    alone      steps 1 .. N     (a[i-1])         what to do, with imagination skipped
    questions  some of 1 .. N-1 (a[i-1], o[i])   at levels that are drawn: all other uses

A session makes the same call with one window and a memory, so what is trained is what it computes.

Shapes: B windows, N rows, M questions, T tokens of a stream, C numbers per token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from presage.device import sent
from presage.timeline.backbone import Base, Condition, Window
from presage.timeline.corruption import Given
from presage.timeline.levels import Draw, Levels, Uniform
from presage.timeline.session import Model
from presage.timeline.streams import Stream, Values
from presage.training.batch import Batch, Term, Terms, per_step


@dataclass(frozen=True)
class Denoise:
    levels: Levels | None = None
    """Of the questions"""
    poor: Levels | None = None
    """For steps that were not an expert's: what happened is worth learning, what was chosen is not."""
    unlabelled: Levels | None = None
    """For steps where nobody recorded what the robot did."""
    questions: int | None = None
    """Steps that are asked for, each costing as many tokens as a step of history; None: all but the first."""
    clip: bool = False
    """The first row is history, and the rest of the window one question."""
    past: int = 1
    """The most rows of history before a clip: how many is drawn, as sessions are young and old. A clip is as long as a
    window leaves after the most."""
    alone: Draw | None = None
    """Levels of what the robot does where nothing else is imagined; None: that is not asked."""
    history_noise: float = 0.0
    """Half of the steps of history are noised up to this level, so that a dream survives its own small errors."""
    spared: str = ""
    """Streams of this pattern stay clean in half of the windows."""
    dreamed: float = 0.0
    """Share of windows that are shown their dream where there is one; the goal stays the truth."""
    drop_actions: float = 0.0
    """Share of windows whose history does not show what the robot did: video without actions is data too."""
    drop_text: float = 0.0
    """Share of windows that are told nothing, for guidance without a classifier (Ho & Salimans 2022)."""
    drop_quality: float = 0.0
    """Share of windows that are not told how well the robot behaves: a dream must not assume that it behaves well."""
    memoryless: float = 0.0
    """Share of batches in which a frame is all that is seen: no past, no action that led there. How policies look."""
    poor_weight: float = 1.0
    """Weight of what the robot does, imagined alone, where it was not an expert's."""

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Terms:
        b, n = batch.exists.shape
        device, streams = batch.text.device, model.backbone.streams
        quality = torch.full((b, n), float("nan"), device=device) if batch.quality is None else batch.quality
        untold = sent(torch.rand(b, 1, generator=generator) < self.drop_quality, device)
        told = torch.where(untold, float("nan"), quality)
        alone = float(torch.rand(1, generator=generator)) < self.memoryless
        text = batch.text
        if self.drop_text:
            text = text * sent(torch.rand(b, 1, generator=generator) >= self.drop_text, device)
        condition = Condition(text, context=0 if alone else None)
        past = 1 if self.past == 1 else 1 + int(torch.randint(self.past, (1,), generator=generator))
        history = self._history(streams, batch, generator, alone, past)
        asked = []
        if self.alone is not None:
            asked.append(alone_at(streams, batch, told, self.alone, torch.arange(1, n + 1), generator))
        if self.levels is not None:
            count = n - 1 if self.clip or self.questions is None else self.questions
            chosen = torch.randperm(n - 1, generator=generator)[:count].sort().values + 1
            if self.clip:
                chosen = torch.arange(past, past + n - self.past)
            asked.append(self.questions_at(streams, batch, quality, told, chosen, generator))
        bases = _bases(model, history, batch, [a.window for a in asked], condition)
        questions = [replace(a.window, base=base) for a, base in zip(asked, bases, strict=True)]
        out = model.backbone([history, *questions], model.backbone.start(b), condition)

        terms = {}
        for s in streams:
            if s.asked:
                ones = torch.ones(b, n, device=device)
                target, raw = batch.values[s.name], out.raw[0][s.name]
                error = s.corruption.error(raw, target, target, target, ones)
                terms[s.name] = Term(per_step(error, batch.has.get(s.name)), batch.there(s).float())
        for a, raws, base in zip(asked, out.raw[1:], bases, strict=True):
            terms |= a.terms(streams, batch, raws, base)
        if self.alone is not None and self.poor_weight != 1:
            weight = torch.where(quality < 0.5, self.poor_weight, 1.0)
            terms |= {k: replace(t, error=t.error * weight) for k, t in terms.items() if k.endswith(ALONE)}
        return terms

    def _history(
        self, streams: Sequence[Stream], batch: Batch, generator: torch.Generator, hide_actions: bool, past: int
    ) -> Window:
        """Clean steps, some a little noisy. Step i holds what was done after row i - 1; step 0 has none."""
        device, (b, n) = batch.text.device, batch.exists.shape
        drop = sent(torch.rand(b, generator=generator) < self.drop_actions, device)
        level = Uniform()(b * n, generator).view(b, n) * self.history_noise
        level = sent(level * (torch.rand(b, n, generator=generator) < 0.5), device)
        values: Values = {}
        levels: Values = {s.name: torch.ones(b, n, device=device) if s.asked else level for s in streams}
        present: Values = {}
        shown = [s for s in streams if s.imagined and not s.acts and s.name in batch.values]
        for s in shown:
            if self.spared and fnmatchcase(s.name, self.spared):
                levels[s.name] = level * sent(torch.rand(b, 1, generator=generator) < 0.5, device)
        for s in shown:
            x = batch.values[s.name]
            values[s.name] = s.corruption.corrupt(x, levels[s.name], noise_like(x, generator))
            if s.name in batch.present:
                present[s.name] = batch.present[s.name]
        if batch.dreamed and batch.dream_known is not None:
            asleep = sent(torch.rand(b, 1, generator=generator) < self.dreamed, device) & batch.dream_known
            values |= {k: torch.where(asleep[..., None, None], x, values[k]) for k, x in batch.dreamed.items()}
        for s in streams:
            if s.acts:
                values[s.name] = torch.roll(batch.values[s.name], 1, 1)
                there = torch.roll(batch.there(s), 1, 1) & ~drop[:, None]
                there[:, 0] = False
                present[s.name] = there & (not hide_actions)
                levels[s.name] = (~present[s.name]).float()
        steps = torch.arange(n, device=device).expand(b, n)
        rows = slice(0, past if self.clip else n)
        values, levels, present = ({k: x[:, rows] for k, x in part.items()} for part in (values, levels, present))
        return Window(values, levels, steps[:, rows], remember=True, present=present)

    def questions_at(
        self,
        streams: Sequence[Stream],
        batch: Batch,
        quality: Tensor,
        told: Tensor,
        chosen: Tensor,
        generator: torch.Generator,
    ) -> "Asked":
        """What is asked of the steps `chosen` (M,), at levels that are drawn."""
        assert self.levels is not None
        device, b, m = batch.text.device, len(batch.exists), len(chosen)
        chosen = sent(chosen, device)
        acting = [s for s in streams if s.acts]

        def drawn(levels: Levels) -> Values:
            return {name: sent(level, device) for name, level in levels.draw(streams, b, m, generator).items()}

        levels = drawn(self.levels)
        if self.poor is not None:
            poor, other = quality[:, chosen - 1] < 0.5, drawn(self.poor)
            levels = {name: torch.where(poor, other[name], level) for name, level in levels.items()}
        there = torch.stack([batch.there(s)[:, chosen - 1] for s in acting]).all(0) if acting else None
        # To look whether it is so costs nothing on a CPU, and on a card more than to draw in vain.
        if self.unlabelled is not None and there is not None and (device.type == "cuda" or not bool(there.all())):
            other = drawn(self.unlabelled)
            levels = {name: torch.where(there, level, other[name]) for name, level in levels.items()}
        levels = {s.name: levels[s.name] for s in streams if not s.asked and s.name in levels}
        _refuse_leaks(streams, levels)
        acting = [s for s in acting if s.name in levels]
        present = {s.name: batch.there(s)[:, chosen - 1] for s in acting}
        levels |= {s.name: torch.where(present[s.name], levels[s.name], 1.0) for s in acting}
        steps = chosen.expand(b, m)
        window = Window({}, levels, steps, together=self.clip, present=present, quality=told[:, chosen - 1])
        return _corrupted(streams, batch, window, generator)


def _refuse_leaks(streams: Sequence[Stream], levels: Values) -> None:
    """A stream that is always given would tell a question its own future, which no session can.

    Raises:
        ValueError: a role draws levels for one.
    """
    for s in streams:
        if s.corruption == Given() and s.name in levels and bool(levels[s.name].any()):
            raise ValueError(f"stream {s.name!r} is always given: a role sets it to GIVEN, or to None to leave it out")


ALONE = ".alone"
"""Behind the names of terms of what the robot does where nothing else is imagined."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A question, and what it was made of."""

    window: Window
    noise: Values
    alone: bool = False

    def terms(self, streams: Sequence[Stream], batch: Batch, raws: Values, base: Values) -> Terms:
        """Errors of what was asked for: what is at level 0 was given and costs nothing."""
        out = {}
        for s in (s for s in streams if s.imagined and s.name in raws):
            level, raw = self.window.levels[s.name], raws[s.name]
            raw = raw + base[s.name] if s.name in base else raw
            target = at(batch.values[s.name], s, self.window.steps)
            x = self.window.values[s.name]
            emphasis = at(batch.emphasis[s.name], s, self.window.steps) if s.name in batch.emphasis else None
            error = s.corruption.error(raw, target, x, self.noise[s.name], level)
            error = per_step(error, batch.has.get(s.name), emphasis)
            there = at(batch.there(s), s, self.window.steps)
            if s.acts and not self.alone:  # where nothing came after it, padding is shown: the last frame again
                there = there & batch.exists[:, self.window.steps[0]]
            out[s.name + (ALONE if self.alone else "")] = Term(error, (there & (level > 0)).float())
        return out


def at(rows: Tensor, stream: Stream, steps: Tensor) -> Tensor:
    """Rows (B, N, ...) of a stream at steps (B, M), which are those of all windows: what was done on the way to step i
    was recorded at row i - 1."""
    return rows[:, steps[0] - 1 if stream.acts else steps[0]]


def alone_at(
    streams: Sequence[Stream], batch: Batch, told: Tensor, draw: Draw, chosen: Tensor, generator: torch.Generator
) -> Asked:
    """What leads to the steps `chosen` (M,) is asked for, and nothing else of them."""
    device, b, m = batch.text.device, len(batch.exists), len(chosen)
    acting = [s for s in streams if s.acts]
    level = sent(draw(b * m, generator).view(b, m), device)
    steps = sent(chosen, device).expand(b, m)
    present = {s.name: at(batch.there(s), s, steps) for s in acting}
    quality = told[:, steps[0] - 1]
    window = Window({}, {s.name: level for s in acting}, steps, present=present, quality=quality)
    return replace(_corrupted(acting, batch, window, generator), alone=True)


def _corrupted(streams: Sequence[Stream], batch: Batch, window: Window, generator: torch.Generator) -> Asked:
    """The question with its values at their levels. A stream that is answered in one pass is there or it is not."""
    values, noise, present = {}, {}, dict(window.present)
    for s in (s for s in streams if s.imagined and s.name in window.levels and s.name in batch.values):
        target, level = at(batch.values[s.name], s, window.steps), window.levels[s.name]
        noise[s.name] = target if s.corruption.one_pass else noise_like(target, generator)
        values[s.name] = s.corruption.corrupt(target, level, noise[s.name])
        if s.corruption.one_pass:
            present[s.name] = present.get(s.name, torch.ones_like(level, dtype=torch.bool)) & (level < 1)
    return Asked(replace(window, values=values, present=present), noise)


@torch.no_grad()
def _bases(
    model: Model, history: Window, batch: Batch, questions: Sequence[Window], condition: Condition
) -> list[Values]:
    """The base prediction of every question, of frozen networks, as a session expects it."""
    if model.base is None:
        return [{} for _ in questions]
    carried = _carried(model.base, model.backbone.streams, batch)
    out = []
    for question in questions:
        steps = question.steps[0]
        last = steps - 1 if not question.together else steps[:1].expand_as(steps) - 1  # a clip sees no step of its own
        newest = {name: x[:, last] for name, x in history.values.items()}
        out.append(model.base(newest, None if carried is None else carried[:, last], question, condition))
    return out


def _carried(base: Base, streams: Sequence[Stream], batch: Batch) -> Tensor | None:
    """(B, N, K) what the base prediction carries on from every row, having felt nothing before the first. It knows what
    was seen and done, whatever the network is shown."""
    acting = [s.name for s in streams if s.acts]
    count = batch.exists.shape[1]
    rows = [{s.name: batch.values[s.name][:, i] for s in streams if s.name in batch.values} for i in range(count)]
    seen = [{name: x for name, x in row.items() if name not in acting} for row in rows]
    first = base.remember(seen[0], {}, None)
    if first is None:
        return None
    there = torch.stack([batch.there(s) for s in streams if s.acts]).all(0)
    out = [first]
    for i in range(1, len(rows)):
        led_here = base.remember(seen[i] | {name: rows[i - 1][name] for name in acting}, seen[i - 1], out[-1])
        blank = base.remember(seen[i], {}, None)
        assert led_here is not None and blank is not None
        out.append(torch.where(there[:, i - 1, None], led_here, blank))
    return torch.stack(out, 1)


def noise_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise, drawn where `x` is: numbers that a card draws itself need not be sent there."""
    if x.device != generator.device:
        seed = int(torch.randint(2**62, (1,), generator=generator))
        generator = torch.Generator(x.device).manual_seed(seed)
    return torch.randn(x.shape, generator=generator, device=x.device)
