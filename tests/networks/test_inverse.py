"""Labels that explain the state as well as the pictures."""

import pytest
import torch
from tests.tiny import tiny_chunk, tiny_model, tiny_observation
from torch import Tensor

from presage.networks.inverse import OFFSET_ERROR, STATE_ERROR, explain
from presage.networks.names import STATE
from presage.networks.state_dynamics import StateDynamics
from presage.timeline.session import Session

GAIN = 0.1


class Pushed(StateDynamics):
    """Every number of a step moves its number of the state by a tenth of its mean."""

    def forward(self, state: Tensor, action: Tensor, memory: Tensor) -> Tensor:
        return state + GAIN * action.unflatten(-1, (4, 4)).mean(-2)


def led_to(session: Session, action: Tensor) -> Tensor:
    """State (B, 1, S) that an action leads to from the newest step."""
    assert session.last.carried is not None
    return session.model.base.reach(session.last.carried, action)


@pytest.fixture
def session() -> Session:
    model = tiny_model()
    model.state_dynamics = Pushed(4, 16, 8)
    session = Session(model, ["push"] * 2)
    session.observe(tiny_observation(2))
    return session


def test_an_action_that_leads_to_the_state_stays(session: Session) -> None:
    action = session.model.encode_action(tiny_chunk(2))
    video = {STATE: led_to(session, action)}
    torch.testing.assert_close(explain(session, action, video), action)


def test_an_action_that_misses_the_state_is_shifted_towards_it_by_what_both_are_worth(session: Session) -> None:
    action = session.model.encode_action(tiny_chunk(2))
    missed = torch.tensor([0.02, -0.01, 0.0, 0.03])
    shifted = explain(session, action, {STATE: led_to(session, action) + missed})
    share = (GAIN * OFFSET_ERROR) ** 2 / ((GAIN * OFFSET_ERROR) ** 2 + STATE_ERROR**2)
    torch.testing.assert_close(led_to(session, shifted) - led_to(session, action), (share * missed).expand(2, 1, 4))
    steps = (shifted - action).unflatten(-1, (4, 4))
    torch.testing.assert_close(steps, steps[:, :, :1].expand_as(steps))  # one offset for the whole chunk


@torch.inference_mode()
def test_it_works_where_nothing_else_needs_a_gradient(session: Session) -> None:
    action = session.model.encode_action(tiny_chunk(2))
    assert not torch.equal(explain(session, action, {STATE: led_to(session, action) + 0.1}), action)


def test_without_a_state_nothing_is_explained(session: Session) -> None:
    action = session.model.encode_action(tiny_chunk(2))
    assert explain(session, action, {}) is action
    session.append({name: x for name, x in session.last.values.items() if name != STATE})
    assert explain(session, action, {STATE: torch.zeros(2, 1, 4)}) is action
