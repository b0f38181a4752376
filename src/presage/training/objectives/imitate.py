"""Imitate: a head learns what was done from what a frozen model's session reads.

The reading is a function of a session, the same here and in a policy, so what is trained is what acts. It is detached:
the model stands still (Hu et al. 2024, VPP, section 4; Video Policy's "stop gradient").

Shapes: B windows, N rows, M frames that are read, T places, D numbers of a feature, K tokens of the action, C numbers a
token.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from presage.networks.composed import Composed
from presage.timeline.levels import Draw, Uniform
from presage.timeline.session import Session
from presage.timeline.streams import Stream, matching
from presage.training.batch import Batch, Term, Terms, per_step

Read = Callable[[Session], Tensor]
"""Features (B, M, T, D) of a session whose newest block is real"""


@dataclass(frozen=True)
class Imitate:
    """One term, `stream`, of the last row of each window."""

    read: Read
    part: str = "head"
    """Which of the model's parts is trained"""
    stream: str = "action"
    levels: Draw = Uniform(0.1)
    context: int = 0
    """Steps of past that the session sees, as the policy will"""
    draws: int = 1
    """Levels and noises at which the head is asked for each reading, which costs more than it"""

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        (stream,) = matching(model.streams, self.stream)
        seed = int(torch.randint(2**31, (1,), generator=generator))
        session = Session(model, batch.text, seed=seed, context=self.context)
        seen = [s.name for s in model.streams if not s.acts and s.name in batch.values]
        for i in range(batch.exists.shape[1]):
            session.append({name: batch.values[name][:, i] for name in seen})
        features = self.read(session).clone()  # a session's tensors know no gradient
        target, there = batch.values[stream.name][:, -1], batch.there(stream)[:, -1:]
        head = model.parts[self.part]
        error = asked(head, features, batch.text, target, stream, self.levels, self.draws, generator)
        return {stream.name: Term(per_step(error[:, None], batch.has.get(stream.name)), there.float())}


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
    """Errors (B, K, C) of a head that is asked for `target` (B, K, C) at drawn levels, averaged over `draws` of them."""
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
