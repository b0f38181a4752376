"""What an imagined future is worth."""

import pytest
import torch
from tests.timeline.oracle import BALL, Line, moves, sight
from tests.tiny import tiny_chunk, tiny_model, tiny_observation

from presage.networks.base import step, value_of
from presage.simulator.scorers import critic, critic_says, goal_distance, led_to, size_of, value_at_end
from presage.timeline.session import Session


def seen() -> Session[Line]:
    session = Session(Line(), ["2", "2"])
    session.observe(sight(10.0, 20.0))
    return session


def test_candidates_lead_where_their_moves_add_up_to() -> None:
    candidates = torch.tensor([[[1.0, 2.0], [0.0, -4.0], [0.5, 0.5]], [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]])[..., None]
    assert led_to(seen(), candidates)[BALL.name].flatten().tolist() == [13, 6, 11, 22, 24, 26]


def test_the_distance_to_the_goal_in_two_norms() -> None:
    session, candidates = seen(), moves([[1.0], [3.0]], [[0.0], [5.0]]).view(2, 2, 1, 1)
    session.aim({BALL.name: torch.tensor([12.0, 25.0]).view(2, 1, 1)})
    assert goal_distance("ba*")(session, candidates).tolist() == [[-1, -1], [-5, 0]]
    torch.testing.assert_close(goal_distance("ball", "l2")(session, candidates), -moves([1.0, 1], [5, 0])[..., 0, 0])


def test_sizes_of_differences() -> None:
    apart = torch.tensor([[[1.0, -3.0]], [[2.0, 2.0]]])
    assert size_of(apart, "l1").tolist() == [2, 2]
    torch.testing.assert_close(size_of(apart, "l2"), torch.tensor([5**0.5, 2.0]))


def test_a_goal_that_nobody_set_is_missed() -> None:
    with pytest.raises(ValueError, match="no goal of 'ball'"):
        goal_distance("ball")(seen(), torch.zeros(2, 1, 1, 1))


def test_value_and_critic_of_the_shipped_model() -> None:
    model = tiny_model()
    session = Session(model, ["open the drawer"] * 2)
    session.observe(tiny_observation(2))
    chunk = tiny_chunk(2)
    candidates = model.encode_action(chunk).view(2, 1, 1, -1).expand(-1, 2, 1, -1)
    fork = session.fork(1)
    step(fork, chunk)
    alone = value_of(fork)
    torch.testing.assert_close(value_at_end(session, candidates), alone[:, None].expand(-1, 2), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="has no critic"):
        critic(session, candidates)
    model.add_critic(8)
    said = critic_says(session, candidates[:, :, 0])
    assert said is not None and torch.equal(critic(session, candidates), said)
