"""The dream as an environment: the same interface as a simulator, and truly the model's own rollout."""

import numpy as np
import pytest
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_chunk, tiny_model, tiny_observation

from presage.errors import UserError
from presage.policy.grounded import GroundedPolicy
from presage.policy.joint import joint
from presage.policy.replay import ReplayPolicy
from presage.simulator.environment import DreamWorld
from presage.timeline.session import Session
from presage.worlds.rollout import rollout


def started(n=3, threshold=2.0):
    dream = DreamWorld(tiny_model(), FakeWorld(n), threshold)
    observation, info = dream.reset(seed=list(range(n)), options={"task": ["a", "b", "c"][:n]})
    return dream, observation, info


def test_observations_and_info_are_those_of_a_world():
    dream, first, info = started()
    observation, reward, terminated, truncated, info = dream.step(tiny_chunk(3))
    for name, space in dream.observation_space.spaces.items():
        assert observation[name].shape == space.shape and observation[name].dtype == space.dtype
        assert first[name].dtype == space.dtype
    assert reward.shape == terminated.shape == truncated.shape == info["success"].shape == (3,)
    assert info["task"] == ["a", "b", "c"] and info["instruction"] == ["do a", "do b", "do c"]


def test_a_dream_is_the_sessions_own_rollout():
    model = tiny_model()
    observation, chunk = tiny_observation(2), tiny_chunk(2)
    dream = DreamWorld(model, FakeWorld(2), 2.0, seed=5)
    dream.reset(options={"observation": observation, "instruction": ["a", "b"]})
    seen, *_ = dream.step(chunk)
    session = Session(model, ["a", "b"], float("nan"), seed=5)
    session.observe(observation)
    images = model.decode_images(session.roll(chunk).values)
    assert np.array_equal(seen["image.front"], images["image.front"])


def test_the_same_policy_runs_in_the_dream_unchanged():
    model = tiny_model()
    dream = DreamWorld(model, FakeWorld(2), threshold=2.0)
    results = rollout(GroundedPolicy(model, joint), dream, ["a", "b", "a"], [1, 2, 3], max_steps=3, record=True)
    assert [r.success for r in results] == [False] * 3 and [r.steps for r in results] == [3] * 3
    assert results[2].frames["top"].shape == (4, 32, 32, 3)


def test_success_is_progress_above_the_threshold_and_stays():
    dream, _, _ = started(threshold=-1.0)
    _, _, terminated, _, info = dream.step(tiny_chunk(3))
    assert terminated.all() and info["success"].all()
    dream.threshold = 2.0
    assert dream.step(tiny_chunk(3))[2].all()


def test_finished_rows_stand_still():
    dream, _, _ = started()
    before, *_ = dream.step(tiny_chunk(3))
    after, *_ = dream.step(tiny_chunk(3, seed=1), active=np.array([True, False, True]))
    assert np.array_equal(before["image.front"][1], after["image.front"][1])
    assert not np.array_equal(before["image.front"][0], after["image.front"][0])
    assert [rows.tolist() for _, rows in dream.dreams] == [[0, 2]]


def test_one_instruction_per_environment():
    dream = DreamWorld(tiny_model(), FakeWorld(2), 0.5)
    with pytest.raises(UserError, match="instruction: 1 entries for 2 environments; give one for each"):
        dream.reset(options={"observation": tiny_observation(2), "instruction": ["a"]})


def test_replay_plays_every_episode_its_own_sequence():
    sequences = [np.full((steps, 4, 4), 0.1 * (i + 1), np.float32) for i, steps in enumerate((1, 2, 3))]
    policy = ReplayPolicy(sequences)
    policy.reset(["a", "b"])
    observation = {"state": np.zeros((2, 4))}
    assert policy.act(observation)[:, 0, 0].tolist() == pytest.approx([0.1, 0.2])
    assert policy.act(observation)[:, 0, 0].tolist() == pytest.approx([0.0, 0.2])
    policy.reset(["c", "c"])  # a short last batch is padded by the rollout
    assert policy.act(observation)[:, 0, 0].tolist() == pytest.approx([0.3, 0.0])
