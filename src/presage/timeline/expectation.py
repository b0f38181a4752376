"""What comes next in the simplest case: where kinematics lead, and what imaginations are changes of.

Functions of the newest frame and of what kinematics remember there, for whoever keeps a past: a session, or a
recomputation without a cache. Values are those of one block: stream name -> tokens (B, T, C).
"""

from torch import Tensor

from presage.networks.world_model import WorldModel
from presage.timeline.streams import ACTION, STATE

Values = dict[str, Tensor]
"""Stream name -> normalised tokens (B, T, C)."""


def remembered(model: WorldModel, values: Values, before: Values, memory: Tensor | None) -> Tensor | None:
    """What kinematics remember (B, M) at a block of `values`; None where it has no state.

    before, memory: the block before and what they remembered there; empty and None where there is none.
    """
    if model.kinematics is None or STATE not in values:
        return None
    state = values[STATE][:, 0]
    if memory is None or STATE not in before or ACTION not in values:
        return model.kinematics.blank(state)
    return model.kinematics.remember(before[STATE][:, 0], values[ACTION][:, 0], state, memory)


def moved(model: WorldModel, newest: Values, memory: Tensor | None, action: Tensor) -> Tensor | None:
    """State (B, 1, S) that action tokens (B, 1, A) lead to by kinematics; None where the newest frame has none."""
    if memory is None or model.kinematics is None or STATE not in newest:
        return None
    return model.kinematics(newest[STATE][:, 0], action[:, 0], memory)[:, None]


def proposed(model: WorldModel, newest: Values, text: Tensor) -> Values:
    """The chunk that the model proposes after the newest frame, if it proposes any."""
    chunk = model.propose({name: x[:, None] for name, x in newest.items()}, text)
    return {} if chunk is None else {ACTION: chunk[:, 0]}


def critic_inputs(
    model: WorldModel, newest: Values, memory: Tensor | None, text: Tensor, action: Tensor
) -> tuple[Tensor, ...] | None:
    """What a critic reads of M chunks (B, M, A) after the newest frame: the reader's token, the chunks, the state, and
    the states they lead to, each (B, M, ...); None where the model has no reader or the frame no state."""
    token = model.read_scene({name: x[:, None] for name, x in newest.items()}, text)
    if token is None or memory is None or model.kinematics is None:
        return None
    n = action.shape[1]
    state = newest[STATE].expand(-1, n, -1)
    reached = model.kinematics(state, action, memory[:, None].expand(-1, n, -1))
    return token[:, 0].expand(-1, n, -1), action, state, reached


def expected(
    model: WorldModel, newest: Values, memory: Tensor | None, text: Tensor, state: Tensor | None = None
) -> Values:
    """What is expected after the newest frame, if it leads to `state` (B, 1, S): by default, where the proposed chunk
    leads."""
    proposal = proposed(model, newest, text)
    if state is None and ACTION in proposal:
        state = moved(model, newest, memory, proposal[ACTION])
    shown = {name: x[:, None] for name, x in newest.items()}
    seen = model.expect(shown, None if state is None else state[:, None], text)
    return {name: x[:, 0] for name, x in seen.items()} | proposal
