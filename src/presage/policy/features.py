"""What a head reads of a session, and the decision that it makes of it.

Shapes: B batch, M frames, T places, D numbers of a feature.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from presage.networks.composed import Composed
from presage.policy.grounded import Decision
from presage.policy.heads import TEXT_DIM, ActionMLP, ActionTransformer, answer
from presage.timeline.backbone import Tap
from presage.timeline.levels import Schedule, down
from presage.timeline.memory import Memory
from presage.timeline.noise import draw
from presage.timeline.session import Session
from presage.timeline.streams import Values, matching
from presage.training.objectives.decode import hidden_states
from presage.training.objectives.imitate import Read
from presage.training.objectives.invert import in_a_row


def foresight(tap: int | None, length: int, steps: int = 0, stop: float = 1.0) -> Read:
    """Hidden states (B, length, T, D) of the next `length` frames at a tap, all at pure noise: one pass says what may
    come (Hu et al. 2024, VPP, section 4.1). With `steps`, the video is first denoised to level `stop`."""
    walked = down(steps, stop) if steps else (1.0,)

    def read(session: Session) -> Tensor:
        features = session.features(Tap(tap), Schedule(walked, None), length=length)
        return torch.cat(list(features.values()), 2)

    return read


def present(tap: int | None) -> Read:
    """The same network and tap, shown the present frame as if it were the next, clean: what it knows without
    predicting (B, 1, T, D)."""

    def read(session: Session) -> Tensor:
        seen = {s.name: session.last.values[s.name][:, None] for s in session.backbone.streams if not s.acts}
        features = session.features(Tap(tap), Schedule((0.0,), None), seen, length=1)
        return torch.cat(list(features.values()), 2)

    return read


def latents(pictures: Sequence[str]) -> Read:
    """The codec's values of the newest frame (B, 1, T, C of all cameras)."""

    def read(session: Session) -> Tensor:
        return torch.cat([session.last.values[name] for name in pictures], -1)[:, None]

    return read


def levelled(read: Read, level: float) -> Read:
    """The same with the level that it was read at as a last number: (B, M, T, D + 1)."""

    def read_with_level(session: Session) -> Tensor:
        features = read(session)
        return torch.cat([features, torch.full_like(features[..., :1], level)], -1)

    return read_with_level


def told(session: Session, clip: Values, level: float, tap: int) -> Tensor:
    """Hidden states (B, M, T, D + 1) of a clip (B, M, T, C) that is known to come, noised up to a level as in training:
    the ceiling of whoever must imagine it (mimic-video 2025, section 4)."""
    noised: Values = {}
    for s in (s for s in session.backbone.streams if s.name in clip):
        noise = draw(session.noise, tuple(clip[s.name].shape[1:]), session.model.device)
        levels = torch.full(noise.shape[:2], level, device=noise.device)
        noised[s.name] = s.corruption.corrupt(clip[s.name], levels, noise)
    shown = torch.full((session.batch,), level, device=session.model.device)
    past = Memory(tuple(block.entry for block in session.past))
    return hidden_states(session.backbone, past, session.condition, noised, shown, session.step, Tap(tap))


def answered(
    session: Session[Composed], read: Read, stream: str = "action", part: str = "head", steps: int = 5
) -> Values:
    """The action (B, K, C) that a head makes of what is read."""
    model = session.model
    (acts,) = matching(model.streams, stream)
    action = answer(model.parts[part], read(session), session.condition.text, acts, session.noise, steps)
    return {acts.name: action.clamp(-1, 1)}


def headed(read: Read, stream: str = "action", part: str = "head", steps: int = 5) -> Decision:
    """Decide by a head over what is read."""

    def decide(session: Session[Composed]) -> np.ndarray:
        return session.model.decode_action(*answered(session, read, stream, part, steps).values())

    return decide


def candidates(
    read: Read, horizon: int = 1, stream: str = "action", part: str = "head", steps: int = 5
) -> Callable[[Session[Composed], int], Tensor]:
    """Session, N -> what a head may make of what is read, each time from noise of its own: (B, N, horizon, numbers of a
    chunk), for planners. The head, an `ActionTransformer` or an `ActionMLP`, answers `horizon` chunks, one after the
    other."""

    def propose(session: Session[Composed], n: int) -> Tensor:
        model, fork = session.model, session.fork(n)
        (acts,) = matching(model.streams, stream)
        head = model.parts[part]
        assert isinstance(head, ActionTransformer | ActionMLP)
        with torch.inference_mode():
            queries = head.former(read(session)).repeat_interleave(n, 0)
        text, span = fork.condition.text, in_a_row(acts, horizon)
        drawn = answer(head.decide, queries, text, span, fork.noise, steps).clamp(-1, 1)
        return drawn.view(session.batch, n, horizon, acts.tokens * acts.dim)

    return propose


def sensitivity(read: Read, model: Composed, seen: Values, other: Values) -> tuple[float, float]:
    """How far what is read moves with the frame (values (B, T, C) `seen` against `other`) and with the noise, over its
    spread. A control that does not see the frame proves nothing."""
    text = torch.zeros(len(next(iter(seen.values()))), TEXT_DIM, device=model.device)

    def of(values: Values, seed: int) -> Tensor:
        session = Session(model, text, seed=seed, context=0)
        session.append(values)
        return read(session)

    first, moved, drawn = of(seen, 0), of(other, 0), of(seen, 1)
    spread = (first - first.mean(0)).square().mean().sqrt()
    return _size(moved - first, spread), _size(drawn - first, spread)


def _size(x: Tensor, unit: Tensor) -> float:
    return float(x.square().mean().sqrt() / unit)
