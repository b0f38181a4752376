"""Policies judged in two worlds."""

import numpy as np
import pytest
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_model

from presage.policy.grounded import GroundedPolicy
from presage.policy.joint import joint
from presage.simulator.environment import DreamWorld
from presage.simulator.evaluation import (
    Disturbed,
    Judged,
    Late,
    action_noise,
    agreement,
    aside,
    judge,
    never_closing,
    other_instruction,
    slowed,
)
from presage.worlds import MT10, instructions, make_world
from presage.worlds.rollout import ExpertPolicy, RandomPolicy, RolloutResult, rollout


def outcomes(successes, n=10):
    return [RolloutResult("a", i, i < successes, 5) for i in range(n)]


def test_a_dream_that_is_right_agrees_and_one_that_is_wrong_does_not():
    right = {str(k): Judged(outcomes(k), outcomes(k)) for k in range(9)}
    wrong = {str(k): Judged(outcomes(k), outcomes(9 - k)) for k in range(9)}
    assert agreement(right).pearson.value == pytest.approx(1) and agreement(right).mmrv.value == 0
    assert agreement(wrong).pearson.value == pytest.approx(-1) and agreement(wrong).mmrv.value > 0.3


def test_single_episodes_are_compared_as_well():
    """Rates that agree say little where other episodes succeed than was imagined."""
    turned = {str(k): Judged(outcomes(k), outcomes(k)[::-1]) for k in range(1, 9)}
    assert agreement(turned).pearson.value == pytest.approx(1) and agreement(turned).kappa.value < 0.5
    assert agreement({name: Judged(j.real, j.real) for name, j in turned.items()}).kappa.value == 1


def test_a_policy_is_rolled_in_both_from_the_same_frames():
    model = tiny_model()
    world = FakeWorld(2)
    dream = DreamWorld(model, world, threshold=2.0)
    judged = judge(GroundedPolicy(model, joint), world, dream, ["a", "b"], [1, 2], max_steps=3)
    assert len(judged.real) == len(judged.imagined) == 2 and judged.imagined_success == 0


def test_disturbances_do_what_they_say():
    policy = Disturbed(RandomPolicy((2, 4, 4)), change=lambda chunks, episodes, step: 0 * chunks)
    policy.reset(["a", "b"])
    assert not policy.act({}).any()
    moved = action_noise(0.5)(np.zeros((3, 4, 4), np.float32), np.arange(3), 0)
    assert np.array_equal(moved[:, 0], moved[:, 3]) and len(np.unique(moved[:, 0])) == 12


def test_mistakes_are_what_they_are_called():
    rng, episodes = np.random.default_rng(0), np.array([7, 8])
    chunks = [rng.uniform(-1, 1, (2, 4, 4)).astype(np.float32) for _ in range(4)]
    offset = aside(0.4)(chunks[0], episodes, 0) - chunks[0]
    np.testing.assert_allclose(offset, aside(0.4)(chunks[1], episodes, 1) - chunks[1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(offset[..., :2], axis=-1), 0.4, atol=1e-6)
    assert not offset[..., 2:].any() and not np.allclose(offset[0], offset[1])
    slow = slowed(0.3)(chunks[0], episodes, 0)
    np.testing.assert_allclose(slow[..., :3], 0.3 * chunks[0][..., :3])
    assert (slow[..., 3] == chunks[0][..., 3]).all() and (never_closing(chunks[0], episodes, 0)[..., 3] == -1).all()


def test_late_actions_are_those_of_before_and_every_episode_begins_anew():
    chunks = [np.full((1, 4, 4), float(i), np.float32) for i in range(1, 5)]
    late, grip = Late(2), Late(2, gripper=True)
    for _ in range(2):
        executed = [late(chunk, np.array([0]), i)[0, 0] for i, chunk in enumerate(chunks)]
        assert np.array_equal(executed, [[0, 0, 0, -1], [0, 0, 0, -1], [1, 1, 1, 1], [2, 2, 2, 2]])
    executed = [grip(chunk, np.array([0]), i)[0, 0] for i, chunk in enumerate(chunks)]
    assert np.array_equal(executed, [[1, 1, 1, -1], [2, 2, 2, -1], [3, 3, 3, 1], [4, 4, 4, 2]])


def test_another_instruction_is_that_of_the_next_task_of_the_world():
    told = [instructions(task)[0] for task in MT10]
    assert other_instruction(told) == told[1:] + told[:1]
    assert other_instruction(told[3:5] * 2) == [told[4], told[5]] * 2  # whatever is in the batch
    assert other_instruction([instructions("fetch-push")[0]]) == [instructions("fetch-pick-place")[0]]
    with pytest.raises(ValueError, match="'dance' is no task's own"):
        other_instruction(["dance"])


class Still:
    """A policy that never moves, so that what is executed is the disturbance."""

    def reset(self, instructions):
        pass

    def act(self, observation):
        return np.zeros((len(observation["state"]), 4, 4), np.float32)


@pytest.mark.parametrize(
    "policy",
    [Disturbed(Still(), action_noise(0.1, seed=3)), RandomPolicy((2, 4, 4), seed=3)],
    ids=["disturbed", "random"],
)
def test_an_episode_is_disturbed_alike_in_both_worlds_whatever_runs_beside_it(policy):
    world, episodes = FakeWorld(2), [("a", 1), ("b", 1), ("a", 2)]
    dream = DreamWorld(tiny_model(), world, threshold=2.0)

    def actions(judged_in, order):
        tasks, seeds = zip(*[episodes[i] for i in order], strict=True)
        results = rollout(policy, judged_in, tasks, seeds, max_steps=3, record=True)
        return {i: r.actions for i, r in zip(order, results, strict=True)}

    real = actions(world, [0, 1, 2])
    assert len(np.unique([chunks[:, 0, 0] for chunks in real.values()])) == 9  # episodes and steps differ
    for other in (actions(dream, [0, 1, 2]), actions(world, [2, 1, 0]), actions(dream, [1])):
        assert all(np.array_equal(chunks, real[i]) for i, chunks in other.items())


def test_an_experts_noise_follows_the_episode():
    world = make_world("pusht", num_envs=2, size=16)
    policy = ExpertPolicy(world, noise=0.1, seed=1)
    one, two = rollout(policy, world, ["pusht"] * 2, [4, 5], max_steps=2, record=True)
    again = rollout(policy, world, ["pusht"], [5], max_steps=2, record=True)[0]
    assert np.array_equal(again.actions, two.actions) and not np.array_equal(one.actions, two.actions)
    world.close()
