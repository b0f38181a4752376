"""Policies judged in two worlds."""

import numpy as np
import pytest
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_model

from presage.policy.grounded import GroundedPolicy
from presage.policy.joint import joint
from presage.simulator.environment import DreamWorld
from presage.simulator.evaluation import Disturbed, Judged, action_noise, agreement, judge, other_instruction
from presage.worlds.rollout import RandomPolicy, RolloutResult


def outcomes(successes, n=10):
    return [RolloutResult("a", i, i < successes, 5) for i in range(n)]


def test_a_dream_that_is_right_agrees_and_one_that_is_wrong_does_not():
    right = {str(k): Judged(outcomes(k), outcomes(k)) for k in range(9)}
    wrong = {str(k): Judged(outcomes(k), outcomes(9 - k)) for k in range(9)}
    assert agreement(right).pearson.value == pytest.approx(1) and agreement(right).mmrv == 0
    assert agreement(wrong).pearson.value == pytest.approx(-1) and agreement(wrong).mmrv > 0.3


def test_a_policy_is_rolled_in_both_from_the_same_frames():
    model = tiny_model()
    world = FakeWorld(2)
    dream = DreamWorld(model, world, threshold=2.0)
    judged = judge(GroundedPolicy(model, joint), world, dream, ["a", "b"], [1, 2], max_steps=3)
    assert len(judged.real) == len(judged.imagined) == 2 and judged.imagined_success == 0


def test_disturbances_do_what_they_say():
    policy = Disturbed(RandomPolicy((2, 4, 4)), change=lambda chunks: 0 * chunks)
    policy.reset(["a", "b"])
    assert not policy.act({}).any()
    moved = action_noise(0.5)(np.zeros((3, 4, 4), np.float32))
    assert np.array_equal(moved[:, 0], moved[:, 3]) and len(np.unique(moved[:, 0])) == 12
    assert other_instruction(["a", "b", "c"]) == ["b", "c", "a"]
