"""What an imagined future is worth."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from tests.timeline.oracle import BALL, MOVE, Line, Oracle, moves, sight
from tests.tiny import tiny_chunk, tiny_model, tiny_observation
from torch import Tensor

from presage.networks.base import step, value_of
from presage.simulator.scorers import blind, critic, critic_says, goal_distance, judged, led_to, size_of, value_at_end
from presage.timeline.corruption import Regress
from presage.timeline.session import Session
from presage.timeline.streams import Stream


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


def test_a_clip_ends_where_steps_one_after_the_other_do() -> None:
    candidates = torch.tensor([[[1.0, 2.0], [0.0, -4.0]], [[1.0, 1.0], [2.0, 2.0]]])[..., None]
    ends = [led_to(seen(), candidates, clip=clip)[BALL.name].flatten().tolist() for clip in (False, True)]
    assert ends[0] == ends[1] == [13, 6, 22, 24]


@dataclass
class Judging(Line):
    """A head that calls it good to be far to the right."""

    outcome: Stream = Stream("outcome", 1, 2, Regress("cross-entropy"))
    parts: dict[str, Any] = field(default_factory=lambda: {"judge": far_right})

    @property
    def streams(self) -> Sequence[Stream]:
        return (*self.backbone.streams, self.outcome)


def far_right(features: Tensor, text: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
    """Logits (B, 1, 2) of failure and success; two numbers of the frame are the ball and what it may not look at."""
    return torch.cat([torch.zeros_like(features[:, 0, :, :1]), features[:, 0, :, :1] - 15], -1)


def test_a_judge_sees_the_last_imagined_frame_alone() -> None:
    session = Session(Judging(Oracle((MOVE, BALL))), ["2", "2"])
    session.observe({BALL.name: sight(10.0, 20.0)[BALL.name]})
    candidates = torch.tensor([[[2.0, 3.0], [5.0, 5.0]], [[-2.0, -3.0], [0.0, -9.0]]])[..., None]
    said = judged("outcome")(session, candidates)
    torch.testing.assert_close(said, torch.sigmoid(torch.tensor([[0.0, 5.0], [0.0, -4.0]])))


def test_a_blind_score_is_another_one_each_time_and_knows_no_candidate() -> None:
    session, candidates = seen(), torch.zeros(2, 5, 1, 1)
    first, second = blind(session, candidates), blind(session, candidates)
    assert first.shape == (2, 5) and not torch.equal(first, second)
    assert torch.equal(blind(seen(), candidates), blind(seen(), candidates + 1))
