"""The base prediction of a robot's world model: its own state by its dynamics, its frames redrawn there, the chunk of
the base policy. What the transformer predicts is a change of it.

Shapes: B batch, N steps, T tokens of a stream, C numbers a token, S numbers of state, M of what is carried on.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from presage.networks.names import ACTION, LIMIT, STATE, is_video
from presage.timeline.backbone import Backbone, Condition, Output, Tap, Window
from presage.timeline.corruption import Regress
from presage.timeline.levels import GIVEN, Schedule, flat
from presage.timeline.memory import Entry, Memory
from presage.timeline.streams import Stream, Values

if TYPE_CHECKING:
    from presage.networks.world_model import WorldModel
    from presage.timeline.session import Block, Session


class RobotBase:
    """The base prediction of `model`'s parts; each may be missing."""

    def __init__(self, model: "WorldModel") -> None:
        self.model = model

    def remember(self, values: Values, before: Values, carried: Tensor | None) -> Tensor | None:
        """(B, S + M) the state, and what state dynamics remember; None where there is no state."""
        state_dynamics = self.model.state_dynamics
        if state_dynamics is None or STATE not in values:
            return None
        state = values[STATE][:, 0]
        if carried is None or STATE not in before or ACTION not in values:
            return torch.cat([state, state_dynamics.blank(state)], -1)
        memory = carried[:, state.shape[-1] :]
        return torch.cat([state, state_dynamics.remember(before[STATE][:, 0], values[ACTION][:, 0], state, memory)], -1)

    @property
    def redraws(self) -> bool:
        """A frame can be shown with the robot in another state, without the transformer."""
        return self.model.renderer is not None

    def complete(self, values: Values, carried: Tensor | None, given: Values) -> Values:
        """A known action leads to a known state."""
        if ACTION in given and STATE not in given and carried is not None:
            return given | {STATE: self.reach(carried, given[ACTION])}
        return given

    def reach(self, carried: Tensor, action: Tensor) -> Tensor:
        """State (..., 1, S) that action values (..., 1, A) lead to."""
        state_dynamics = self.model.state_dynamics
        assert state_dynamics is not None
        state, memory = carried.split([self.model.config.state_dim, state_dynamics.memory], -1)
        return state_dynamics(state, action[..., 0, :], memory)[..., None, :]

    def __call__(self, newest: Values, carried: Tensor | None, question: Window, condition: Condition) -> Values:
        text, levels = condition.text, question.levels
        videos = [s.name for s in self.model.streams if is_video(s) and s.name in levels]
        unknown = levels[videos[0]] > 0 if videos else None
        if unknown is not None and not unknown.any():
            return {}
        told = STATE in levels and not levels[STATE].any()
        chunk = None
        if levels[ACTION].any() or not told:  # it costs a pass of the reader
            chunk = self.model.base_policy(newest, text)
        if unknown is None:
            return {} if chunk is None else {ACTION: chunk}
        state = question.values[STATE] if told and carried is not None else None
        if state is None and chunk is not None and carried is not None:
            state = self.reach(carried, chunk)
            if STATE in question.values:
                state = torch.where((levels[STATE] == 0)[..., None, None], question.values[STATE], state)
        if state is not None and carried is not None:  # it knows its state, whatever it is shown
            newest = newest | {STATE: carried[..., None, : state.shape[-1]]}
        expected = self.model.expect(newest, state, text)
        if chunk is not None:
            # Inverse dynamics reads the action from what is seen, not from what a good robot would have done.
            expected[ACTION] = chunk * unknown.to(chunk.dtype)[..., None, None]
        return expected

    def critic_inputs(
        self, newest: Values, carried: Tensor | None, text: Tensor, chunks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        """What a critic reads of K chunks (B, K, A) after the newest step: the reader's token, the chunks, the state,
        and the states they lead to, each (B, K, ...); None where the model has no reader or the step no state."""
        token = self.model.read_scene({name: x[:, None] for name, x in newest.items()}, text)
        if token is None or carried is None:
            return None
        k = chunks.shape[1]
        state = newest[STATE].expand(-1, k, -1)
        reached = self.reach(carried[:, None].expand(-1, k, -1), chunks[:, :, None])[:, :, 0]
        return token[:, 0].expand(-1, k, -1), chunks, state, reached


class BaseAlone:
    """A dream without denoising: history is read as by `backbone`, and every question is answered by the base
    prediction as it is. Long dreams of `mt10` stay truer so (docs/decisions.md)."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        answer = Regress(limit=LIMIT)
        self.streams: Sequence[Stream] = [replace(s, corruption=answer) if s.imagined else s for s in backbone.streams]

    def start(self, batch: int) -> Memory[Entry]:
        return self.backbone.start(batch)

    def __call__(
        self, windows: Sequence[Window], memory: Memory[Entry], condition: Condition, tap: Tap | None = None
    ) -> Output:
        history = [w for w in windows if w.remember]
        read = self.backbone(history, memory, condition, tap) if history else Output([], memory)
        answers = iter(read.raw)
        raw = [next(answers) if w.remember else self._nothing(w) for w in windows]
        return Output(raw, read.memory, read.features)

    def _nothing(self, question: Window) -> Values:
        """No change of the base prediction."""
        held = [s for s in self.streams if s.imagined and s.name in question.levels]
        return {s.name: torch.zeros(*question.steps.shape, s.tokens, s.dim).to(question.steps.device) for s in held}


def next_values(session: "Session", action: Tensor, state: Tensor | None = None, steps: int | None = None) -> Values:
    """Forward dynamics: values of the step that action values (B, 1, A) lead to, or that shows the state they are known
    to have led to. In `steps` denoising steps, by default as many as the model takes; without any the robot is redrawn,
    where the model can do that, and all else stays."""
    base, carried = session.model.base, session.last.carried
    steps = session.model.denoising if steps is None else steps
    if not steps and base is not None and base.redraws and carried is not None:
        session = session.through(BaseAlone(session.model.backbone))
    schedule, given = Schedule.forward(max(1, steps)), {ACTION: action}
    if state is not None:
        given[STATE], schedule = state, replace(schedule, streams={STATE: flat(GIVEN, schedule.steps)})
    return session.imagine(schedule, given).values


def step(session: "Session", chunk: np.ndarray, steps: int | None = None) -> "Block":
    """Imagine what `chunk` (B, chunk, A) leads to, and step into it."""
    return session.append(next_values(session, session.model.encode_action(chunk), steps=steps), imagined=True)


def value_of(session: "Session") -> Tensor:
    """(B,) predicted value of the newest step, in [0, 1]."""
    value: Tensor = session.model.value(session.last, session.condition)
    return value
