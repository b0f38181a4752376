"""What comes next in the simplest case: where kinematics lead, and what imaginations are changes of.

Functions of the newest frame and the one before it, for whoever keeps a past: a session, or a recomputation without a
cache. Values are those of one block: stream name -> tokens (B, T, C).
"""

import torch
from torch import Tensor

from presage.networks.world_model import WorldModel
from presage.timeline.streams import ACTION, STATE

Values = dict[str, Tensor]
"""Stream name -> normalised tokens (B, T, C)."""


def moved(model: WorldModel, newest: Values, before: Values, action: Tensor) -> Tensor | None:
    """State (B, 1, S) that action tokens (B, 1, A) lead to by kinematics; None where the newest frame has none.

    before: the block before the newest, empty where there is none.
    """
    now, led_here = newest.get(STATE), newest.get(ACTION)
    if now is None or model.kinematics is None:
        return None
    past = None
    if STATE in before and led_here is not None:
        past = (before[STATE][:, 0], led_here[:, 0], torch.ones(len(now), device=now.device))
    return model.kinematics(now[:, 0], action[:, 0], past)[:, None]


def proposed(model: WorldModel, newest: Values, text: Tensor) -> Values:
    """The chunk that the model proposes after the newest frame, if it proposes any."""
    chunk = model.propose({name: x[:, None] for name, x in newest.items()}, text)
    return {} if chunk is None else {ACTION: chunk[:, 0]}


def expected(model: WorldModel, newest: Values, before: Values, text: Tensor, state: Tensor | None = None) -> Values:
    """What is expected after the newest frame, if it leads to `state` (B, 1, S): by default, where the proposed chunk
    leads."""
    proposal = proposed(model, newest, text)
    if state is None and ACTION in proposal:
        state = moved(model, newest, before, proposal[ACTION])
    shown = {name: x[:, None] for name, x in newest.items()}
    seen = model.expect(shown, None if state is None else state[:, None], text)
    return {name: x[:, 0] for name, x in seen.items()} | proposal
