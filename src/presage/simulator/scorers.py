"""Scorers: how good an imagined future is. Each is a `planners.Score`: candidates (B, N, H, C) of action values that
lead through H steps -> (B, N), higher is better.

Shapes: B rows of a session, N candidates, H steps ahead, C numbers of an action.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from presage.networks.base import step as step_of
from presage.networks.base import value_of
from presage.simulator.planners import Score
from presage.timeline.levels import Schedule
from presage.timeline.noise import draw
from presage.timeline.session import Session
from presage.timeline.streams import Values, matching

Norm = Literal["l1", "l2"]


def led_to(session: Session, candidates: Tensor, steps: int = 1, clip: bool = False) -> Values:
    """Values (B * N, T, C) of the last step that candidates lead to. steps: of denoising. clip: all steps are one
    question (Zhu et al. 2024, IRASim, section 3.1), in place of one after the other."""
    b, n, horizon, _ = candidates.shape
    action = next(s for s in session.backbone.streams if s.acts)
    fork = session.fork(n)
    done = candidates.reshape(b * n, horizon, action.tokens, action.dim)
    if clip:
        values = fork.imagine(Schedule.forward(steps), {action.name: done}, length=horizon).values
        return {name: x[:, -1] for name, x in values.items()}
    values = {}
    for h in range(horizon):
        if h:
            fork.append(values, imagined=True)
        values = fork.imagine(Schedule.forward(steps), {action.name: done[:, h]}).values
    return values


def judged(outcome: str, part: str = "judge", steps: int = 1) -> Score:
    """What a part of the model says of the last imagined frame: the last number of the stream `outcome` that it
    answers, such as coverage (Qi et al. 2025, GPC, section 4.2). It sees the frame and the words, and nothing that was
    not imagined; the futures of candidates start from no noise."""

    def score(session: Session, candidates: Tensor) -> Tensor:
        b, n = candidates.shape[:2]
        values = led_to(session.without_noise(), candidates, steps)
        (stream,) = matching(session.model.streams, outcome)
        seen = [values[s.name] for s in session.backbone.streams if not s.acts and s.name in values]
        text = session.condition.text.repeat_interleave(n, 0)
        level = torch.ones(b * n, device=text.device)
        raw = session.model.parts[part](torch.cat(seen, -1)[:, None], text, seen[0], level).float()
        return stream.corruption.clean(raw, raw, level)[:, 0, -1].view(b, n)

    return score


def blind(session: Session, candidates: Tensor) -> Tensor:
    """One is as good as another: the control that takes any of as many."""
    return draw(session.noise, candidates.shape[1:2], candidates.device)


def goal_distance(pattern: str, norm: Norm = "l1", steps: int = 1) -> Score:
    """How near the last step comes to the goal of the session's condition, in streams that match: features (Assran et
    al. 2025, section 3.2), latents or pixels, whichever the streams hold. Mean distance of a number, negative.

    steps: of denoising.
    """

    def score(session: Session, candidates: Tensor) -> Tensor:
        """Raises:
        ValueError: nobody said what is to be reached.
        """
        b, n = candidates.shape[:2]
        values, goal = led_to(session, candidates, steps), session.condition.goal
        names = [s.name for s in matching(session.backbone.streams, pattern) if s.name in goal]
        if not names:
            raise ValueError(f"the session has no goal of {pattern!r}: session.aim(...) sets it")
        missed = [values[name].view(b, n, *goal[name].shape[1:]) - goal[name][:, None] for name in names]
        return -torch.stack([size_of(x, norm) for x in missed]).mean(0)

    return score


def size_of(difference: Tensor, norm: Norm) -> Tensor:
    """(..., T, C) -> (...): the mean of sizes, or the root of the mean of squares."""
    return difference.abs().mean((-2, -1)) if norm == "l1" else difference.square().mean((-2, -1)).sqrt()


def value_at_end(session: Session, candidates: Tensor) -> Tensor:
    """What a model's own value says of the last step."""
    b, n, horizon, _ = candidates.shape
    fork = session.fork(n)
    for h in range(horizon):
        chunk: np.ndarray = session.model.decode_action(candidates[:, :, h].reshape(b * n, 1, -1))
        step_of(fork, chunk)
    return value_of(fork).view(b, n)


def critic(session: Session, candidates: Tensor) -> Tensor:
    """What the critic of `mt10` says of the first chunk, whatever is imagined.

    Raises:
        ValueError: the model has no critic.
    """
    said = critic_says(session, candidates[:, :, 0])
    if said is None:
        raise ValueError("this model has no critic")
    return said


@torch.inference_mode()
def critic_says(session: Session, chunks: Tensor) -> Tensor | None:
    """What the critic says (B, K) of K chunks (B, K, A) after the newest block, higher is better; None where the model
    has none."""
    critic, newest = session.model.critic, session.last
    if critic is None:
        return None
    inputs = session.model.base.critic_inputs(newest.values, newest.carried, session.condition.text, chunks)
    return None if inputs is None else critic(*inputs)
