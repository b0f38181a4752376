"""Decode: an action head learns to read the hidden states of a frozen video model that is shown what truly came, at any
noise level; in use it reads those of what the model itself imagines (mimic-video 2025, section 3.2).

Shapes: B windows, N rows, M frames of a clip, T tokens of a stream or of all streams, D width, C numbers a token.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from presage.networks.composed import Composed
from presage.timeline.backbone import Backbone, Condition, Tap, Window
from presage.timeline.levels import Draw, Uniform
from presage.timeline.memory import Entry, Memory
from presage.timeline.streams import Values, matching
from presage.training.batch import Batch, Term, Terms, per_step
from presage.training.objectives.imitate import asked


@dataclass(frozen=True)
class Decode:
    """One term, `stream`: the chunk that leads to the first frame of the clip.

    Args:
        tap: layers after which hidden states are read.
        frames: of the clip; the rows of a window before it are history, of which as many are shown as is drawn.
        sees: levels of the clip.
        levels: of the action.
        draws: levels and noises at which the head is asked for each clip, which costs more than it.
        part: which of the model's parts is trained.
    """

    tap: int
    frames: int
    sees: Draw
    levels: Draw = Uniform(0.1)
    draws: int = 2
    part: str = "head"
    stream: str = "action"

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        """Raises:
        ValueError: windows are too short.
        """
        b, n = batch.exists.shape
        if n <= self.frames:
            raise ValueError(f"a clip of {self.frames} frames needs windows of more rows than {n}")
        (stream,) = matching(model.streams, self.stream)
        newest = int(torch.randint(n - self.frames, (1,), generator=generator))
        seen = [s for s in model.backbone.streams if s.imagined and s.name in batch.values]
        level = self.sees(b, generator).to(batch.text.device)
        clip: Values = {}
        for s in seen:
            x = batch.values[s.name][:, newest + 1 : newest + 1 + self.frames]
            noise = torch.randn(x.shape, generator=generator).to(x.device)
            clip[s.name] = s.corruption.corrupt(x, level[:, None].expand(b, self.frames), noise)
        values = {s.name: batch.values[s.name][:, : newest + 1] for s in seen}
        steps = torch.arange(newest + 1, device=level.device).expand(b, -1)
        history = Window(values, {s.name: torch.zeros_like(steps, dtype=level.dtype) for s in seen}, steps, True)
        condition = Condition(batch.text)
        with torch.no_grad():
            past = model.backbone([history], model.backbone.start(b), condition).memory
            features = hidden_states(model.backbone, past, condition, clip, level, newest, Tap(self.tap))
        target, there = batch.values[stream.name][:, newest], batch.there(stream)[:, newest]
        there = there & batch.exists[:, newest + 1]  # the clip would be padding
        head = model.parts[self.part]
        error = asked(head, features, batch.text, target, stream, self.levels, self.draws, generator)
        return {stream.name: Term(per_step(error[:, None], batch.has.get(stream.name)), there[:, None].float())}


@torch.no_grad()
def hidden_states(
    backbone: Backbone, memory: Memory[Entry], condition: Condition, clip: Values, level: Tensor, newest: int, tap: Tap
) -> Tensor:
    """Features (B, M, T, D + 1) of a clip (B, M, T, C) that is shown at `level` (B,) after step `newest`: of all its
    streams along T, the level as their last number."""
    held = [s for s in backbone.streams if s.name in clip]
    b, m = clip[held[0].name].shape[:2]
    steps = (newest + 1 + torch.arange(m, device=level.device)).expand(b, m)
    levels = {s.name: level[:, None].expand(b, m) for s in held}
    out = backbone([Window(clip, levels, steps, together=True)], memory, condition, tap)
    assert out.features is not None
    features = torch.cat([out.features[0][s.name] for s in held], 2).float()
    return torch.cat([features, level[:, None, None, None].expand(*features.shape[:3], 1)], -1)
