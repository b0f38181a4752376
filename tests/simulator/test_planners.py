"""Searches on a line where the best move is known: a ball at 10 that is to be at 10.6."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tests.timeline.oracle import BALL, MOVE, Line, sight
from tests.tiny import tiny_model, tiny_observation
from torch import Tensor

from presage.simulator.planners import CEM, BestOf, Gradient, committed, held, planned, shifted, uniform
from presage.simulator.scorers import goal_distance
from presage.timeline.session import Session

NEAR = goal_distance("ball")


@dataclass
class Robot(Line):
    """The ball on a line as a robot, whose chunks are moves times ten."""

    def decode_action(self, token: Tensor) -> np.ndarray:
        return 10 * token.numpy()


def aimed(*goals: float, seed: int = 0) -> Session[Robot]:
    session = Session(Robot(), ["2"] * len(goals), seed=seed)
    session.observe(sight(*[10.0] * len(goals)))
    session.aim({BALL.name: torch.tensor(goals).view(-1, 1, 1)})
    return session


def missed(session: Session[Robot], moves: Tensor) -> Tensor:
    """(B,) how far from the goal moves (B, H, 1) end."""
    return (10 + moves.sum((1, 2)) - session.condition.goal[BALL.name].flatten()).abs()


@pytest.mark.parametrize("horizon", [1, 2])
def test_every_search_finds_the_move_and_leaves_the_session_where_it_was(horizon: int) -> None:
    for search, error in ((BestOf(256), 0.05), (CEM(32, 5, 6), 0.01), (Gradient(4, 12, 0.1), 0.06)):
        session = aimed(10.6, 9.8)
        plan = search(session, uniform(horizon, MOVE.dim), NEAR)
        assert plan.actions.shape == (2, horizon, 1) and missed(session, plan.actions).max() < error
        torch.testing.assert_close(-plan.score, missed(session, plan.actions), atol=1e-5, rtol=0)
        torch.testing.assert_close(plan.score, plan.tried.amax(1))
        assert session.step == 0 and session.batch == 2


def test_iterations_of_cem_come_nearer_than_as_many_samples_at_once() -> None:
    errors = {"cem": [], "shooting": []}
    for seed in range(20):
        for name, search in (("cem", CEM(16, 4, 4)), ("shooting", BestOf(64))):
            session = aimed(10.6, seed=seed)
            plan = search(session, uniform(2, MOVE.dim), NEAR)
            errors[name].append(float(missed(session, plan.actions)))
            assert plan.tried.shape == (1, 64)
    assert np.mean(errors["cem"]) < 0.5 * np.mean(errors["shooting"])


def test_cem_with_one_iteration_is_the_best_of_its_samples() -> None:
    once, all_at_once = (search(aimed(10.6), uniform(2, MOVE.dim), NEAR) for search in (CEM(16, 1, 4), BestOf(16)))
    torch.testing.assert_close(once.actions, all_at_once.actions)


def test_momentum_keeps_what_was_learned_before() -> None:
    """With all of the momentum nothing is learned: candidates are of the mean and spread that were proposed."""
    asked: list[Tensor] = []

    def score(session: Session, candidates: Tensor) -> Tensor:
        asked.append(candidates)
        return candidates.sum((2, 3))

    CEM(500, 3, 5, momentum=1.0, radius=9.0)(aimed(10.6), uniform(1, 1), score)
    torch.testing.assert_close(asked[2].mean(), asked[0].mean(), atol=0.1, rtol=0)
    torch.testing.assert_close(asked[2].std(), asked[0].std(), atol=0.1, rtol=0)
    CEM(500, 3, 5, momentum=0.0, radius=9.0)(aimed(10.6), uniform(1, 1), score)
    assert asked[5].mean() > asked[4].mean() > asked[3].mean() + 0.5


def test_nothing_is_tried_outside_the_ball() -> None:
    largest = []

    def score(session: Session, candidates: Tensor) -> Tensor:
        largest.append(float(candidates.detach().abs().amax()))
        return NEAR(session, candidates)

    for search in (CEM(16, 4, 4, radius=0.2), Gradient(4, 8, 0.1, radius=0.2), BestOf(16)):
        plan = search(aimed(10.6), uniform(1, MOVE.dim, 0.2), score)
        assert 0.1 < float(plan.actions) <= 0.2 + 1e-6  # as far as it may go
    assert max(largest) <= 0.2 + 1e-6


def test_a_step_of_the_gradient_is_clipped_and_goes_up() -> None:
    asked: list[Tensor] = []

    def score(session: Session, candidates: Tensor) -> Tensor:
        asked.append(candidates.detach())
        return NEAR(session, candidates)

    Gradient(2, 3, 0.05)(aimed(10.9), lambda session, n: torch.zeros(1, n, 2, 1), score)
    steps = torch.stack([after - before for before, after in zip(asked, asked[1:])])
    torch.testing.assert_close(steps, torch.full_like(steps, 0.05))


def test_a_score_without_a_gradient_is_refused() -> None:
    with pytest.raises(ValueError, match="can be differentiated"):
        Gradient()(aimed(10.6), uniform(1, 1), lambda session, candidates: candidates.detach().sum((2, 3)))
    with pytest.raises(ValueError, match="1 elites of 8 samples"):
        CEM(samples=8, elites=1)


def test_rows_are_searched_as_if_they_were_alone() -> None:
    together = CEM(16, 3, 4)(aimed(10.6, 9.8), uniform(2, 1), NEAR)
    session = aimed(10.6, 9.8)
    session.keep([1])
    torch.testing.assert_close(CEM(16, 3, 4)(session, uniform(2, 1), NEAR).actions[0], together.actions[1])


def test_the_first_step_of_a_plan_is_executed_as_its_chunk() -> None:
    decide = planned(CEM(32, 5, 6), uniform(1, MOVE.dim), NEAR)
    np.testing.assert_allclose(decide(aimed(10.6)), [[[6.0]]], atol=0.1)
    assert held(3)(torch.tensor([[[1.0, 2.0]]])).tolist() == [[[1, 2, 1, 2, 1, 2]]]


def test_a_perturbed_policy_proposes_its_own_action_shifted() -> None:
    """The offset is one for all actions of a chunk, and nothing is beyond the range of actions."""
    session = Session(tiny_model(), ["open the drawer", "reach the goal"])
    session.observe(tiny_observation(2))
    near, far = (shifted(spread)(session, 5).view(2, 5, 4, 4) for spread in (0.01, 5.0))
    assert far.abs().max() == 1 and session.step == 0
    inside = (near.abs() < 1).all(2).all(1)  # (row, number): no action of any candidate was cut
    offset = (near - near[:, :1]).permute(0, 3, 1, 2)[inside]
    assert inside.any() and (offset - offset[..., :1]).abs().max() < 1e-6
    assert 0.003 < offset[:, 1:, 0].std() < 0.03


def test_a_plan_that_is_committed_to_has_all_of_its_steps() -> None:
    plan = committed(BestOf(8), uniform(3, MOVE.dim), NEAR)
    chunks, found = plan(aimed(10.6)), BestOf(8)(aimed(10.6), uniform(3, MOVE.dim), NEAR)
    assert chunks.shape == (3, 1, 1, 1)
    np.testing.assert_allclose(chunks[:, 0, 0, 0], 10 * found.actions[0, :, 0].numpy())
