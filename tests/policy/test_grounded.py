"""Policies over a session: what they observe, what they remember, and that finished rows are really dropped."""

import numpy as np
import pytest
from tests.tiny import tiny_model, tiny_observation

from presage.errors import UserError
from presage.policy.closed_loop import closed_loop
from presage.policy.grounded import GroundedPolicy
from presage.policy.joint import joint, no_imagination
from presage.policy.open_loop import OpenLoopPolicy

DECISIONS = [joint, no_imagination, closed_loop]


@pytest.mark.parametrize("decide", DECISIONS)
def test_chunks_have_the_robots_shape_and_range(decide):
    policy = GroundedPolicy(tiny_model(), decide)
    policy.reset(["open the drawer", "reach the goal"])
    for step in range(5):  # longer than the attention window
        chunks = policy.act(tiny_observation(2, seed=step))
        assert chunks.shape == (2, 4, 4) and chunks.dtype == np.float32
        assert np.abs(chunks).max() <= 1


@pytest.mark.parametrize("decide", DECISIONS)
def test_the_same_episode_gives_the_same_actions_after_a_reset(decide):
    policy = GroundedPolicy(tiny_model(), decide)

    def episode():
        policy.reset(["open the drawer"])
        return [policy.act(tiny_observation(1, seed=step)) for step in range(3)]

    assert np.array_equal(episode(), episode())


def test_finished_rows_are_dropped_and_the_others_do_not_notice():
    model = tiny_model()

    def episode(active_from_step_2):
        policy = GroundedPolicy(model, joint)
        policy.reset(["open the drawer", "reach the goal", "close the window"])
        chunks = []
        for step in range(4):
            observation = tiny_observation(3, seed=step)
            if step >= 2:
                observation["active"] = active_from_step_2
            chunks.append(policy.act(observation))
        return policy, chunks

    policy, all_rows = episode(np.ones(3, bool))
    dropped, some_rows = episode(np.array([True, False, True]))
    assert dropped.session.batch == 2 and policy.session.batch == 3
    np.testing.assert_allclose(some_rows[-1][[0, 2]], all_rows[-1][[0, 2]], atol=1e-5)
    assert not some_rows[-1][1].any()


@pytest.mark.parametrize(
    "make", [lambda model: GroundedPolicy(model, joint), lambda model: OpenLoopPolicy(model, horizon=2)]
)
def test_noise_follows_the_episode_wherever_it_is_in_the_batch(make):
    model, told = tiny_model(), ["open the drawer", "reach the goal", "close the window"]
    whole = tiny_observation(3)

    def acted(order, active=None):
        policy = make(model)
        policy.reset([told[i] for i in order])
        observation = {name: x[order] for name, x in whole.items()} | {"episode": np.array([70, 80, 90])[order]}
        return policy.act(observation if active is None else observation | {"active": np.array(active)})

    together = acted([0, 1, 2])
    np.testing.assert_allclose(acted([2, 0, 1])[[1, 2, 0]], together, atol=1e-5)
    np.testing.assert_allclose(acted([0, 2], active=[False, True])[1], together[2], atol=1e-5)


def test_what_was_executed_becomes_the_past():
    policy = GroundedPolicy(tiny_model(), joint)
    policy.reset(["open the drawer"])
    first = policy.act(tiny_observation(1))
    policy.act(tiny_observation(1, seed=1))
    remembered = policy.model.decode_action(policy.session.last.values["action"])
    np.testing.assert_allclose(remembered, first, atol=1e-6)


def test_a_missing_camera_is_one_clear_line():
    policy = GroundedPolicy(tiny_model(), joint)
    policy.reset(["open the drawer"])
    observation = tiny_observation(1)
    del observation["image.top"]
    with pytest.raises(UserError, match="image.top"):
        policy.act(observation)


def test_open_loop_does_not_look_until_its_plan_is_used_up():
    policy = OpenLoopPolicy(tiny_model(), horizon=5)

    def act(seeds):
        policy.reset(["open the drawer"])
        return [policy.act(tiny_observation(1, seed=seed)) for seed in seeds]

    one, other = act([0, 1, 2, 3, 4, 5]), act([0, 9, 9, 9, 9, 9])
    assert np.array_equal(one[:5], other[:5])
    assert not np.array_equal(one[5], other[5])


def test_open_loop_plans_for_active_rows_only():
    policy = OpenLoopPolicy(tiny_model(), horizon=2)
    policy.reset(["open the drawer", "reach the goal"])
    chunks = policy.act({**tiny_observation(2), "active": np.array([False, True])})
    assert not chunks[0].any() and chunks[1].any()
