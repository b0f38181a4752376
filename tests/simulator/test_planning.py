"""Best of N."""

import numpy as np
import pytest
from tests.tiny import tiny_model, tiny_observation

from presage.errors import UserError
from presage.policy.grounded import GroundedPolicy
from presage.simulator.planning import (
    SPREAD,
    at_random,
    best_of,
    by_both,
    by_q,
    by_value,
    critic_says,
    imagine_candidates,
)
from presage.timeline.session import Session


def grounded(batch=2):
    session = Session(tiny_model(), ["open the drawer"] * batch)
    session.observe(tiny_observation(batch))
    return session


def test_candidates_differ_and_the_session_stays_where_it_was():
    session = grounded()
    candidates = imagine_candidates(session, n=4, horizon=3, spread=0.3)
    assert candidates.chunks.shape == (2, 4, 3, 4, 4) and candidates.value.shape == (2, 4)
    assert len(np.unique(candidates.chunks[0, :, 0].reshape(4, -1), axis=0)) == 4
    assert session.step == 0 and session.batch == 2


def test_the_offset_is_the_same_for_all_steps_of_a_chunk():
    without = imagine_candidates(grounded(1), n=3, horizon=1, spread=0.0).chunks[0, :, 0]
    moved = imagine_candidates(grounded(1), n=3, horizon=1, spread=0.05).chunks[0, :, 0]
    np.testing.assert_allclose(moved[0], without[0], atol=1e-6)
    inside = (np.abs(moved[1]) < 1).all(0) & (np.abs(without[1]) < 1).all(0)
    difference = (moved[1] - without[1])[:, inside]
    np.testing.assert_allclose(difference, np.broadcast_to(difference[:1], difference.shape), atol=1e-5)


def test_the_highest_ranked_first_chunk_is_executed():
    session = grounded()
    seen = []

    def third(candidates):
        seen.append(candidates)
        return np.array([[0, 0, 1.0], [2.0, 0, 1.0]])

    chunk = best_of(n=3, horizon=2, rank=third)(session)
    assert np.array_equal(chunk[0], seen[0].chunks[0, 2, 0]) and np.array_equal(chunk[1], seen[0].chunks[1, 0, 0])


def test_value_ranks_and_chance_does_not():
    candidates = imagine_candidates(grounded(), n=5, horizon=1, spread=0.3)
    assert np.array_equal(by_value(candidates), candidates.value)
    blind = at_random(0)(candidates)
    assert len(np.unique(blind)) == 10 and not np.array_equal(at_random(1)(candidates), blind)
    session = grounded()
    session.keep([1])  # a row is as lucky alone as beside others
    alone = imagine_candidates(session, n=5, horizon=1, spread=0.3)
    assert np.array_equal(at_random(0)(alone)[0], blind[1])


def test_critic_and_imagined_value_rank_together_where_there_is_a_critic():
    session = grounded()
    without = imagine_candidates(session, n=3, horizon=1, spread=0.3)
    assert without.q is None and np.array_equal(by_both(without), without.value)
    with pytest.raises(UserError, match="no critic; train one"):
        by_q(without)
    session.model.add_critic(8)
    session = Session(session.model, ["open the drawer"] * 2)
    session.observe(tiny_observation(2))
    candidates = imagine_candidates(session, n=3, horizon=2, spread=SPREAD)
    alone = critic_says(session, session.model.encode_action(candidates.chunks[1, :, 0])[:, 0].expand(2, -1, -1))
    np.testing.assert_allclose(candidates.q[1], alone[1], atol=1e-5)
    assert np.array_equal(by_q(candidates), candidates.q) and len(np.unique(candidates.q)) == 6
    chosen = candidates.chunks[np.arange(2), (candidates.q + candidates.value).argmax(1), 0]
    again = grounded()  # a session's second search draws other candidates, an equal session's first the same
    again.model = session.model
    np.testing.assert_array_equal(best_of(n=3, horizon=2)(again), chosen)


def test_a_planner_is_a_policy():
    policy = GroundedPolicy(tiny_model(), best_of(n=2, horizon=1))
    policy.reset(["open the drawer", "reach the goal"])
    for step in range(5):
        observation = {**tiny_observation(2, seed=step), "active": np.array([step < 2, True])}
        assert policy.act(observation).shape == (2, 4, 4)
