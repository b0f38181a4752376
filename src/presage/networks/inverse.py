"""Inverse dynamics as a question to a session: which action leads from its newest frame to a given one?"""

from dataclasses import replace

import torch
from torch import Tensor

from presage.networks.names import ACTION, STATE
from presage.timeline.levels import Schedule, down
from presage.timeline.session import Session
from presage.timeline.streams import Values

OFFSET_ERROR, STATE_ERROR = 0.1, 0.01
"""Standard deviations, in half ranges, of what inverse dynamics gets wrong over a whole chunk and of what state
dynamics gets wrong about the state it leads to."""


def translate(session: Session, video: Values, steps: int) -> Tensor:
    """Inverse dynamics: action tokens (B, 1, C) that lead from the session's newest frame to `video`.

    `video` holds every stream of the next block but the action: the cameras, and the state where the model has one.
    """
    return session.imagine(Schedule.inverse(steps), video).values[ACTION]


def translate_pictures(session: Session, pictures: Values, steps: int) -> Values:
    """As `translate`, of cameras alone: values of the action, and of the state that is imagined with it."""
    unseen = [s.name for s in session.backbone.streams if s.imagined and not s.acts and s.name not in pictures]
    schedule = replace(Schedule.inverse(steps), streams={name: down(steps) for name in unseen})
    return session.imagine(schedule, pictures).values


def explain(session: Session, action: Tensor, video: Values, offset_error: float = OFFSET_ERROR) -> Tensor:
    """Action tokens (B, 1, C) shifted so that state dynamics lead nearer to the state in `video`.

    The likeliest action, given what was read from the pictures and what the state says, both with errors: one step of
    an extended Kalman filter (Gelb 1974, section 6.1). One offset per number of an environment step, the same in the
    whole chunk, as a state at its end says no more. Unchanged where there is no state, or the model has no
    dynamics of it.

    offset_error: standard deviation of what is wrong about `action`, in half ranges.
    """
    (chunk, action_dim), base, carried = session.model.chunk_shape, session.model.base, session.last.carried
    if carried is None or STATE not in video:
        return action
    with torch.inference_mode(False), torch.enable_grad():
        offset = torch.zeros(session.batch, 1, action_dim, device=action.device, requires_grad=True)
        led_to = base.reach(carried.clone(), action.clone() + offset.repeat(1, 1, chunk))
        slopes = [torch.autograd.grad(n.sum(), offset, retain_graph=True)[0][:, 0] for n in led_to[:, 0].unbind(1)]
    slope_BSA = torch.stack(slopes, 1)
    missed = (video[STATE] - led_to.detach())[:, 0, :, None]
    spread = offset_error**2 * slope_BSA @ slope_BSA.mT
    spread = spread + STATE_ERROR**2 * torch.eye(spread.shape[-1], device=action.device)
    gain = offset_error**2 * slope_BSA.mT @ torch.linalg.inv(spread)
    return action + (gain @ missed).mT.repeat(1, 1, chunk)
