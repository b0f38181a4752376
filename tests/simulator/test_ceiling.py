"""The curve: who ranks as the simulator does is at 1, who ranks the other way round at -1, and chance at 0."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from presage.simulator.ceiling import EVERY, HORIZONS, Curve
from presage.simulator.true_future import Futures

DECISIONS, BATCH, CANDIDATES = 6, 40, 8


@dataclass
class Known:
    """A simulator in which an action is its own reward, and a judge that sees half of it."""

    def rows(self) -> np.ndarray:
        return np.arange(BATCH)

    def futures(self, session: object, candidates: Tensor) -> Futures:
        reward = candidates.cumsum(2).sum(-1)
        noise = torch.randn(reward.shape, generator=torch.Generator().manual_seed(1))
        return Futures(reward, reward + 2 * noise)


@dataclass
class Clock:
    step: int


def right(session: object, candidates: Tensor) -> Tensor:
    return candidates.sum((2, 3))


def wrong(session: object, candidates: Tensor) -> Tensor:
    return -right(session, candidates)


def blind(session: Clock, candidates: Tensor) -> Tensor:
    return torch.rand(candidates.shape[:2], generator=torch.Generator().manual_seed(2 + session.step))


@pytest.fixture(scope="module")
def curve():
    curve = Curve({"right": right, "wrong": wrong, "blind": blind}, Known())
    for decision in range(DECISIONS * EVERY):
        candidates = torch.randn(BATCH, CANDIDATES, 1, 3, generator=torch.Generator().manual_seed(decision))
        scores = curve(Clock(decision), candidates)
        assert (scores.argmax(1) == 0).all()
    return curve


@pytest.mark.parametrize("horizon", HORIZONS)
def test_rankings_are_compared_with_the_reward(curve: Curve, horizon: int) -> None:
    figures = curve.figures()
    assert figures["curve/decisions"] == DECISIONS * BATCH
    assert figures[f"curve/right_{horizon}_of_8"] == figures[f"curve/oracle_{horizon}_of_8"] == 1
    assert figures[f"curve/wrong_{horizon}_of_8"] == -1
    assert figures[f"curve/blind_{horizon}_of_8_low"] < 0 < figures[f"curve/blind_{horizon}_of_8_high"]
    assert 0.2 < figures[f"curve/true_future_{horizon}_of_8"] < 0.95


def test_more_candidates_give_more_to_choose_from(curve: Curve) -> None:
    figures = curve.figures()
    few, some, all_ = (figures[f"curve/right_1_of_{k}"] for k in (2, 4, 8))
    assert 0.2 < few < some < all_


def test_decisions_of_one_episode_count_as_one() -> None:
    """In odd environments the judge is always right, in even ones never: 40 episodes say so, not 240 decisions."""

    def halves(session: Clock, candidates: Tensor) -> Tensor:
        return right(session, candidates) * torch.tensor([1.0, -1.0]).repeat(BATCH // 2)[:, None]

    widths = []
    for rollouts in (1, 3):
        curve = Curve({"halves": halves}, Known())
        for decision in range(0, DECISIONS * EVERY, EVERY):
            candidates = torch.randn(BATCH, CANDIDATES, 1, 3, generator=torch.Generator().manual_seed(decision))
            curve(Clock(decision % (DECISIONS * EVERY // rollouts)), candidates)
        figures = curve.figures()
        assert len(np.unique(np.concatenate(curve.episodes))) == rollouts * BATCH
        widths.append(figures["curve/halves_1_of_8_high"] - figures["curve/halves_1_of_8_low"])
    assert 0.5 < widths[0] < 0.75 and widths[1] < 0.75 * widths[0]  # 2 x 1.96 / sqrt(40), wider by a few percent
