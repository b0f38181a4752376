"""What is asked of held-out recordings: pairs, their trivial predictors, and that telling the truth is told."""

import numpy as np
import pytest
import torch
from tests.recorded import moving_square

from presage.networks.composed import Composed
from presage.systems.lab.probes import (
    Pairs,
    action_error,
    copy_error,
    exchange,
    frame_error,
    imagine,
    mean_action_error,
    truth,
)
from presage.systems.system import DEBUG
from presage.systems.uwm import uwm
from presage.timeline.levels import GIVEN, UNKNOWN, Schedule
from presage.training.recorded import Recorded, shape_of


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return moving_square(episodes=4, rows=5)


@pytest.fixture(scope="module")
def model(recorded: Recorded) -> Composed:
    torch.manual_seed(0)
    made = uwm(shape_of(recorded), DEBUG).build(shape_of(recorded))
    for p in made.network.parameters():
        torch.nn.init.normal_(p, std=0.2)  # a fresh one answers 0
    return made.eval()


def test_pairs_never_leave_their_episode(recorded: Recorded) -> None:
    pairs = Pairs.of(recorded, 100)
    assert pairs.now.tolist() == [e * 5 + i for e in range(4) for i in range(4)]
    assert (pairs.others.now // 5 != pairs.now // 5).all()
    assert len(Pairs.of(recorded, 6).now) == 6
    assert Pairs.of(recorded.without_labels([0]), 100).now.min() == 5


def test_the_truth_is_no_error_and_trivial_predictors_are(model: Composed, recorded: Recorded) -> None:
    pairs = Pairs.of(recorded, 16)
    true = truth(model, pairs, ["action", "image.front"])
    assert action_error(model, pairs, true) == 0
    assert 0.2 < mean_action_error(model, pairs) < 1
    assert copy_error(pairs) > 100


def test_what_is_given_comes_back(model: Composed, recorded: Recorded) -> None:
    pairs = Pairs.of(recorded, 8)
    future = truth(model, pairs, ["image.front"])
    values = imagine(model, pairs, Schedule.inverse(2), future)
    assert torch.equal(values["image.front"], future["image.front"])
    assert frame_error(model, pairs, values) == frame_error(model, pairs, future)


def test_an_exchange_is_seen_by_what_attends_to_it(model: Composed, recorded: Recorded) -> None:
    pairs = Pairs.of(recorded, 8)
    for level in (GIVEN, UNKNOWN):
        found = exchange(model, pairs, ["action"], ["image.front"], level)
        assert found.change > 0 and np.isfinite([found.error, found.error_after]).all()
    unread = [p for name, p in model.network.named_parameters() if "out.weight" in name and "blocks" in name]
    kept = [p.detach().clone() for p in unread]
    for p in unread:  # no token hears of another
        torch.nn.init.zeros_(p)
    assert exchange(model, pairs, ["action"], ["image.front"], GIVEN).change == 0
    for p, old in zip(unread, kept, strict=True):
        p.data.copy_(old)
