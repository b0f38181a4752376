"""Imitate: a head learns what was done from what a frozen model's session reads.

The reading is a function of a session, the same here and in a policy, so what is trained is what acts. It is detached:
the model stands still (Hu et al. 2024, VPP, section 4; Video Policy's "stop gradient").

Shapes: B windows, N rows, M frames that are read, T places, D numbers of a feature, K tokens of the action, C numbers a
token.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from presage.networks.composed import Composed
from presage.timeline.levels import Draw, Uniform
from presage.timeline.session import Session
from presage.timeline.streams import Stream, matching
from presage.training.batch import Batch, Term, Terms, per_step
from presage.training.held import held, pick
from presage.training.recorded import Recorded, encoded, joined

Read = Callable[[Session], Tensor]
"""Features (B, M, T, D) of a session whose newest block is real"""
Make = Callable[[Composed, Mapping[str, Recorded]], Recorded]


@dataclass(frozen=True)
class Imitate:
    """One term, `stream`, of the last rows of each window.

    Args:
        read: what the head is shown.
        kept: name of a stream that holds what was read before (`readings`), in place of reading anew.
        part: which of the model's parts is trained.
        context: steps of past that the session sees, as the policy will.
        draws: levels and noises at which the head is asked for each reading, which costs more than it.
        frames: of a reading that is kept.
        chunks: that it answers, one behind the other: those of the last so many rows, the first of which is the last
            that is read.
    """

    read: Read
    kept: str = ""
    part: str = "head"
    stream: str = "action"
    levels: Draw = Uniform(0.1)
    context: int = 0
    draws: int = 1
    frames: int = 1
    chunks: int = 1

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        (stream,) = matching(model.streams, self.stream)
        if self.kept:
            (kept,) = matching(model.streams, self.kept)
            features = batch.values[kept.name][:, -self.chunks].unflatten(1, (self.frames, -1))
        else:
            seed = int(torch.randint(2**31, (1,), generator=generator))
            features = _read(self.read, model, batch, seed, self.context, self.chunks - 1)
        target = batch.values[stream.name][:, -self.chunks :].flatten(1, 2)
        there = batch.there(stream)[:, -self.chunks :]
        head = model.parts[self.part]
        error = asked(head, features, batch.text, target, stream, self.levels, self.draws, generator)
        error = error.unflatten(1, (self.chunks, -1))
        return {stream.name: Term(per_step(error, batch.has.get(stream.name)), there.float())}


def _read(read: Read, model: Composed, batch: Batch, seed: int, context: int, unseen: int = 0) -> Tensor:
    """Features of a session that has seen the window's rows one after the other, but for the last `unseen`."""
    session = Session(model, batch.text, seed=seed, context=context)
    seen = [s.name for s in model.streams if not s.acts and s.name in batch.values]
    for i in range(batch.exists.shape[1] - unseen):
        session.append({name: batch.values[name][:, i] for name in seen})
    return read(session).clone()  # a session's tensors know no gradient


def asked(
    head: Callable[..., Tensor],
    features: Tensor,
    text: Tensor,
    target: Tensor,
    stream: Stream,
    levels: Draw,
    draws: int,
    generator: torch.Generator,
) -> Tensor:
    """Errors (B, K, C) of a head that is asked for `target` (B, K, C) at drawn levels, the mean of `draws` of them."""
    errors = []
    for _ in range(draws):
        level = levels(len(target), generator).to(target.device)
        if stream.corruption.one_pass:
            level = torch.ones_like(level)
        noise = torch.randn(target.shape, generator=generator).to(target.device)
        x_k = stream.corruption.corrupt(target, level, noise)
        raw = head(features, text, x_k, level).float()
        errors.append(stream.corruption.error(raw, target, x_k, noise, level))
    return torch.stack(errors).mean(0)


def readings(read: Read, name: str, kind: str = "labelled", draws: int = 4, batch: int = 64) -> Make:
    """Data for a stage: the labelled rows of a kind, `draws` times, with what is read of each row alone as the stream
    `name` (B, M * T, D). Reading costs more than a head's step, so it is done once, with some draws of noise."""

    def make(model: Composed, data: Mapping[str, Recorded]) -> Recorded:
        labelled = encoded(model, data[kind])
        held_rows = held(model, labelled)
        parts = []
        for draw in range(draws):
            rows = np.array_split(np.arange(len(labelled.action)), -(-len(labelled.action) // batch))
            found = []
            for i in rows:
                drawn = (np.zeros(len(i), int), i[:, None], np.zeros((len(i), 1), bool))
                seed = int(i[0]) * draws + draw
                found.append(_read(read, model, pick(model, [held_rows], drawn), seed, 0).flatten(1, 2).half().cpu())
            parts.append(replace(labelled, latents={**labelled.latents, name: torch.cat(found).numpy()}))
        return joined(parts)

    return make
