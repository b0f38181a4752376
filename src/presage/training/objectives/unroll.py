"""Unroll: one step after the other, each after what was imagined just before it.

A window of rows is one view from earlier, some rows of past, and steps that are asked for. A share of the batches is
dreamed: what an action leads to is asked at full noise, what the model says of a step is the past of the next one, and
the goal stays the truth: so it learns from its own small errors at the price of a step each (Bengio et al. 2015,
scheduled sampling; Alonso et al. 2024, DIAMOND, where several steps are trained in a row). The gradient stops between
steps.

Shapes: B windows, N rows, K steps that are asked for, T tokens of a stream, C numbers a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from presage.device import sent
from presage.timeline.backbone import Condition, Output, Window
from presage.timeline.levels import GIVEN, UNKNOWN, Draw, Levels, Role
from presage.timeline.memory import Entry, Memory
from presage.timeline.sampler import predict
from presage.timeline.session import Model
from presage.timeline.streams import Stream, Values
from presage.training.batch import Batch, Term, Terms, per_step
from presage.training.objectives.denoise import Asked, Denoise, alone_at

RECALLED, SAME = "recalled.", 8
"""Prefix of terms; of 255 levels, how far a colour may be off that is still the same: films are compressed"""

DREAM = Levels((Role(UNKNOWN, GIVEN),))
"""What a dream asks: from levels in between, a step would be nearer to the truth than one that is dreamed."""


@dataclass(frozen=True)
class Unroll:
    ask: Denoise
    """Levels of the questions after the true past, and what its other fields say of told quality and of text"""
    past: int = 2
    """Rows before the first question, beside the first of the window"""
    own: float = 0.5
    """Share of batches that are dreamed: their past becomes what the model said"""
    alone: Draw | None = None
    """Levels of what the robot does where nothing else is asked, after the true past: what an expert chose, at all rows
    that are known"""
    short: float = 0.3
    """Share of batches that begin as a session does: with fewer rows of past, and none from earlier"""
    hidden: Sequence[str] = ()
    """Streams that half of the windows do without"""
    anchored: bool = False
    """Terms `recalled.<stream>` ask that a pixel be taken from the oldest picture where, and only where, that shows it
    as it will be: a dream's newest picture holds all its errors so far, and both look alike after few steps. What that
    shows is as rare in all errors of pictures. For networks that compose pictures"""

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Terms:
        """Raises:
        ValueError: windows are too short.
        """
        b, n = batch.exists.shape
        first = 1 + self.past
        if n <= first:
            raise ValueError(f"a window of {n} rows has none to ask for after {first}")
        streams, device = model.backbone.streams, batch.text.device
        quality = torch.full((b, n), float("nan"), device=device) if batch.quality is None else batch.quality
        untold = sent(torch.rand(b, 1, generator=generator) < self.ask.drop_quality, device)
        told = torch.where(untold, float("nan"), quality)
        text = batch.text
        if self.ask.drop_text:
            text = text * sent(torch.rand(b, 1, generator=generator) >= self.ask.drop_text, device)
        condition = Condition(text)
        felt = {name: sent(torch.rand(b, 1, generator=generator) < 0.5, device) for name in self.hidden}

        dreams = float(torch.rand(1, generator=generator)) < self.own
        seen = self._past(generator)
        rows = seen if dreams else [*seen, *range(first, n - 1)]
        if self.anchored:
            batch = replace(batch, emphasis={name: _as_rare(x, seen[0]) for name, x in batch.emphasis.items()})
        history = [self._row(streams, batch, i, felt) for i in rows]
        memory = model.backbone(history, model.backbone.start(b), condition).memory
        terms: Terms = {}
        if self.alone is not None:
            blind = float(torch.rand(1, generator=generator)) < self.ask.memoryless
            # After rows that were all seen; who looks at the newest alone needs no more of them.
            ready = max(2, seen[0] + 1) if blind else first
            moments = torch.arange(ready, first + 1 if dreams else n)
            asked = alone_at(streams, batch, told, self.alone, moments, generator)
            how = Condition(text, context=0 if blind else None)
            found = asked.terms(streams, batch, model.backbone([asked.window], memory, how).raw[0], {})
            expert = ~(quality[:, sent(moments, device) - 1] < 0.5)  # unknown quality is not poor
            terms |= {name: replace(t, weight=t.weight * expert) for name, t in found.items()}
        ask = replace(self.ask, levels=DREAM, poor=None, unlabelled=None) if dreams else self.ask
        asked = ask.questions_at(streams, batch, quality, told, torch.arange(first, n), generator)
        if dreams:
            said = self._said(model, batch, asked.window, memory, condition, felt)
        else:  # nothing depends on what is said, so all steps are asked at once, each after its own past
            said = [model.backbone([asked.window], memory, condition)]
        raws = _joined(streams, asked, [out.raw[0] for out in said])
        terms |= asked.terms(streams, batch, raws, {})
        if self.anchored:
            odds = _joined(streams, asked, [out.recalled[0] for out in said if out.recalled])
            terms |= _recalled(batch, asked, odds, seen[0], terms)
        return terms

    def _said(
        self, model: Model, batch: Batch, window: Window, memory: Memory[Entry], condition: Condition, felt: Values
    ) -> list[Output]:
        """The network's outputs for the steps of a question in turn, each after what was said of the one before."""
        streams, (_, n), out = model.backbone.streams, window.steps.shape, []
        first = int(window.steps[0, 0])
        for k in range(n):
            question = _step(window, k)
            out.append(model.backbone([question], memory, condition))
            if k + 1 < n:
                row = _after(self._row(streams, batch, first + k, felt), streams, question, out[-1].raw[0])
                memory = model.backbone([row], memory, condition).memory
        return out

    def _past(self, generator: torch.Generator) -> list[int]:
        """Rows that are seen before the first question."""
        if float(torch.rand(1, generator=generator)) >= self.short:
            return list(range(1 + self.past))
        rows = 1 + int(torch.randint(self.past, (1,), generator=generator))
        return list(range(1 + self.past - rows, 1 + self.past))

    def _row(self, streams: Sequence[Stream], batch: Batch, i: int, felt: Values) -> Window:
        """History at a row as it was recorded."""
        b, device = len(batch.exists), batch.text.device
        values, levels, present = {}, {}, {}
        for s in (s for s in streams if s.imagined and not s.acts and s.name in batch.values):
            values[s.name] = batch.values[s.name][:, i : i + 1]
            levels[s.name] = torch.zeros(b, 1, device=device)
            there = batch.there(s)[:, i : i + 1]
            present[s.name] = there & felt[s.name] if s.name in felt else there
        return Window(values, levels, torch.full((b, 1), i, device=device), remember=True, present=present)


def _after(row: Window, streams: Sequence[Stream], question: Window, raw: Values) -> Window:
    """History at a row as the model said it, where it knew what was done: what it says of a step whose action it was
    not told is not what that action led to."""
    done = torch.stack([question.levels[s.name] == GIVEN for s in streams if s.acts and s.name in question.levels])
    values, levels = dict(row.values), dict(row.levels)
    for s in (s for s in streams if s.name in raw and s.name in values):
        level, x = question.levels[s.name], question.values[s.name]
        mine = done.all(0) & (level > 0)
        clean = predict(s, raw[s.name].detach(), x, level)
        clean = s.corruption.step(x, clean, level.clamp(min=0.01), torch.zeros_like(level))
        values[s.name] = torch.where(mine[..., None, None], clean, values[s.name])
        levels[s.name] = torch.where(mine, 0.0, levels[s.name])
    return replace(row, values=values, levels=levels)


def _step(window: Window, k: int) -> Window:
    """The k-th step of a question by itself."""
    cut = slice(k, k + 1)
    parts = ({name: x[:, cut] for name, x in part.items()} for part in (window.values, window.levels, window.present))
    values, levels, present = parts
    quality = None if window.quality is None else window.quality[:, cut]
    return replace(window, values=values, levels=levels, present=present, steps=window.steps[:, cut], quality=quality)


def _joined(streams: Sequence[Stream], asked: Asked, said: Sequence[Values]) -> Values:
    return {s.name: _filled(s, asked, said) for s in streams if any(s.name in one for one in said)}


def _as_rare(emphasis: Tensor, oldest: int) -> Tensor:
    """Emphasis (B, N, T, C) that counts what row `oldest` shows, too: a small thing may be recalled where it lay long
    ago."""
    return torch.maximum(emphasis, emphasis[:, oldest : oldest + 1])


def _recalled(batch: Batch, asked: Asked, odds: Values, oldest: int, terms: Terms) -> Terms:
    """Whether pixels are taken from the picture of row `oldest` where that is right: the cross entropy of each step,
    which counts where its picture does. A pixel's three colours are one behind the other."""
    out = {}
    for name in [name for name in odds if name in terms]:  # a picture that was given was not asked for
        values, rows = batch.values[name], asked.window.steps[0]
        off = (values[:, rows] - values[:, oldest, None]).abs().unflatten(-1, (-1, 3)).amax(-1)
        same = (off < 2 * SAME / 255).float()
        found = F.binary_cross_entropy_with_logits(odds[name].unflatten(-1, (-1, 3))[..., 0], same, reduction="none")
        counts = batch.emphasis[name][:, rows].unflatten(-1, (-1, 3))[..., 0] if name in batch.emphasis else None
        out[RECALLED + name] = Term(per_step(found, None, counts), terms[name].weight)
    return out


def _filled(stream: Stream, asked: Asked, said: Sequence[Values]) -> Tensor:
    """(B, K, T, C) of the network's outputs; where nothing was asked for, anything."""
    blank = torch.zeros_like(asked.window.values[stream.name][:, : -(-asked.window.steps.shape[1] // len(said))])
    return torch.cat([raw.get(stream.name, blank) for raw in said], 1)
