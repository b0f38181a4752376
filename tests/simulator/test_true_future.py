"""True futures are those of the simulator, and looking at them changes nothing."""

import numpy as np
import pytest
import torch
from tests.tiny import tiny_pusht

from presage.simulator.true_future import Simulator, by_reward, by_true_value
from presage.timeline.session import Session
from presage.worlds import make_world


def worlds() -> tuple:
    return tuple(make_world("pusht", num_envs=3, size=32) for _ in range(2))


@pytest.fixture
def asked() -> tuple:
    """Two of three environments, of which the second is finished; a session; and three candidates of two steps."""
    world, copy = worlds()
    observation, _ = world.reset(seed=[4, 5, 6])
    rows = np.array([0, 2])
    session = Session(tiny_pusht(), ["push"] * 2)
    session.observe({name: x[rows] for name, x in observation.items()})
    candidates = torch.rand(2, 3, 2, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Simulator(world, copy, lambda: rows, looks=True), session, candidates


def test_rewards_are_those_of_the_world_itself(asked) -> None:
    simulator, session, candidates = asked
    found = simulator.futures(session, candidates)
    assert found.reward.shape == found.value.shape == (2, 3, 2)
    again = make_world("pusht", num_envs=3, size=32)
    again.reset(seed=[4, 5, 6])
    for h in range(2):
        chunks = np.zeros((3, 4, 2), np.float32)
        chunks[[0, 2]] = candidates[:, 1, h].view(2, 4, 2).numpy()
        _, reward, *_ = again.step(chunks, active=np.array([True, False, True]))
        assert found.reward[:, 1, h].numpy() == pytest.approx(reward[[0, 2]])


def test_the_value_is_what_the_model_says_of_the_true_frame(asked) -> None:
    simulator, session, candidates = asked
    found = simulator.futures(session, candidates)
    chunk = candidates[:, 2, 0].view(2, 4, 2).numpy()
    padded = np.zeros((3, 4, 2), np.float32)
    padded[[0, 2]] = chunk
    observation, *_ = simulator.world.step(padded, active=np.array([True, False, True]))
    block = session.observe({name: x[[0, 2]] for name, x in observation.items()}, chunk)
    torch.testing.assert_close(found.value[:, 2, 0], block.answers["value"][:, 0, 0].clamp(0, 1))


def test_neither_world_nor_session_moves(asked) -> None:
    simulator, session, candidates = asked
    before, noise = simulator.world.snapshot(range(3)), session.fork(1).noise[0].integers(9**9)
    simulator.futures(session, candidates)
    assert simulator.world.snapshot(range(3)) == before and session.step == 0
    assert session.fork(1).noise[0].integers(9**9) != noise  # as ever: forking again gives others


def test_scores_are_of_the_last_step(asked) -> None:
    simulator, session, candidates = asked
    found = simulator.futures(session, candidates)
    assert (by_reward(simulator)(session, candidates) == found.reward[..., -1]).all()
    assert (by_true_value(simulator)(session, candidates) == found.value[..., -1]).all()
    with pytest.raises(ValueError, match="no cameras"):
        by_true_value(Simulator(simulator.world, simulator.copy, simulator.rows))(session, candidates)
