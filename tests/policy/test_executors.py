"""How often a policy looks: an executor over a plan that says what it saw."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tests.recorded import CHUNK, moving_square

from presage.policy.executors import OpenLoop
from presage.policy.features import foresight, latents
from presage.systems.system import DEBUG
from presage.systems.unipi import unipi
from presage.timeline.session import Session
from presage.training.recorded import shape_of


class Plan:
    """Three chunks, each of how often it was asked and of its place in the plan."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, session: Session) -> np.ndarray:
        self.asked += 1
        chunks = np.full((3, session.batch, CHUNK, 2), 10.0 * self.asked)
        return chunks + np.arange(3)[:, None, None, None]


@pytest.fixture(scope="module")
def model() -> Iterator:
    torch.manual_seed(0)
    shape = shape_of(moving_square())
    yield unipi(shape, DEBUG).build(shape).eval()


def seen(rows: int) -> dict[str, np.ndarray]:
    recorded = moving_square()
    return {"image.front": recorded.frames["image.front"][:rows], "state": recorded.state[:rows]}


@pytest.mark.parametrize(("horizon", "done"), [(None, [10, 11, 12, 20]), (2, [10, 11, 20, 21]), (1, [10, 20, 30, 40])])
def test_it_looks_when_the_plan_is_used_up(model, horizon: int | None, done: list[int]) -> None:
    policy = OpenLoop(model, Plan(), horizon)
    policy.reset(["move", "move"])
    assert [policy.act(seen(2))[1, 0, 0] for _ in range(4)] == done


def test_finished_rows_are_dropped_from_a_plan_under_way(model) -> None:
    policy = OpenLoop(model, Plan())
    policy.reset(["move"] * 3)
    policy.act(seen(3))
    chunk = policy.act(seen(3) | {"active": np.array([True, False, True])})
    assert policy.session.batch == 2
    assert chunk[:, 0, 0].tolist() == [11, 0, 11]
    assert (policy.act(seen(3) | {"active": np.zeros(3, bool)}) == 0).all()


def test_what_a_head_reads_of_a_session(model) -> None:
    session = Session(model, ["move", "move"], context=0)
    session.observe(seen(2))
    places, numbers = model.streams[1].tokens, model.streams[1].dim
    assert latents(["image.front"])(session).shape == (2, 1, places, numbers)
    assert foresight(None, 3)(session).shape == (2, 3, 4 * places, 4 * DEBUG.channels)  # a token is four places there
    assert foresight(1, 2, steps=2, stop=0.5)(session).shape == (2, 2, places, 6 * DEBUG.channels)
