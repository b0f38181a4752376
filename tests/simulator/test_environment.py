"""The dream as an environment: the same interface as a simulator, and truly the model's own rollout."""

import numpy as np
import pytest
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_chunk, tiny_model, tiny_observation
from tests.worlds import contract

from presage.errors import UserError
from presage.networks.base import step
from presage.policy.grounded import GroundedPolicy
from presage.policy.joint import joint
from presage.policy.replay import ReplayPolicy
from presage.simulator.environment import DreamWorld
from presage.timeline.session import Session
from presage.worlds import make_world
from presage.worlds.rollout import episode_number, rollout


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
    dream = DreamWorld(model, FakeWorld(2), 2.0, steps=2, seed=5)
    dream.reset(seed=8, options={"observation": observation, "instruction": ["a", "b"], "task": ["t", "u"]})
    seen, *_ = dream.step(chunk)
    session = Session(model, ["a", "b"], float("nan"), [(5, episode_number("t", 8)), (5, episode_number("u", 9))])
    session.observe(observation)
    images = model.decode_images(step(session, chunk, 2).values)
    assert np.array_equal(seen["image.front"], images["image.front"])


def test_the_same_policy_runs_in_the_dream_unchanged():
    model = tiny_model()
    dream = DreamWorld(model, FakeWorld(2), threshold=2.0)
    results = rollout(GroundedPolicy(model, joint), dream, ["a", "b", "a"], [1, 2, 3], max_steps=3, record=True)
    assert [r.success for r in results] == [False] * 3 and [r.steps for r in results] == [3] * 3
    assert results[2].frames["top"].shape == (4, 32, 32, 3)


def test_success_is_the_value_above_the_threshold_and_stays():
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
    assert [(session.batch, rows.tolist()) for session, rows in dream.dreams] == [(2, [0, 2])]
    with pytest.raises(UserError, match="environment 1 was not active before, so its dream is dropped; reset it"):
        dream.step(tiny_chunk(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instruction": ["a"]}, "instruction: 1 entries for 2 environments"),
        ({"instruction": "open"}, "instruction: str, expected a list of 2 texts"),
        ({}, "an observation needs an instruction"),
        ({"observation": {}, "instruction": ["a", "b"]}, "observation: 'image.front' is missing"),
        ({"observation": tiny_observation(3), "instruction": ["a", "b"]}, r"'image.front' is uint8 \(3, 32, 32, 3\)"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(options, message):
    dream = DreamWorld(tiny_model(), FakeWorld(2), 0.5)
    with pytest.raises(UserError, match=message):
        dream.reset(options={"observation": tiny_observation(2), **options})


def test_a_dream_can_be_told_something_else_than_the_task():
    dream = DreamWorld(tiny_model(), FakeWorld(2), 0.5)
    _, info = dream.reset(seed=1, options={"task": ["a", "b"], "instruction": ["wait", "go"]})
    assert info["task"] == ["a", "b"] and info["instruction"] == ["wait", "go"]


# -- gymnasium's contract ---------------------------------------------------------------------------------------------


def test_the_dream_of_a_simulator_keeps_the_contract():
    model = tiny_model()
    world = make_world("fetch-reach", num_envs=3, cameras=("front", "top"), size=32)
    contract.check_vector_env(DreamWorld(model, world, 2.0, steps=1))
    one = make_world("fetch-reach", cameras=("front", "top"), size=32)
    contract.check_single_env(DreamWorld(model, one, 2.0, steps=1))
    world.close()
    one.close()


def test_an_episode_does_not_depend_on_those_dreamed_beside_it():
    """Alone, in another place of the batch, beside others that end, and after a partial reset: the same dream."""
    model, starts = tiny_model(), [("a", 1), ("b", 2), ("c", 3)]
    chunks = [tiny_chunk(1, seed=step) for step in range(4)]

    def begun(*order):
        dream = DreamWorld(model, FakeWorld(len(order)), 2.0, steps=2, seed=7)
        dream.reset(seed=[starts[i][1] for i in order], options={"task": [starts[i][0] for i in order]})
        return dream

    def ended(dream, until=4, active=None):
        """The pictures (N, ...) after chunks 0 ... until - 1."""
        for chunk in chunks[:until]:
            observation, *_ = dream.step(np.repeat(chunk, dream.num_envs, 0), active=active)
        return observation["image.front"].astype(int)

    together = ended(begun(0, 1, 2))
    assert np.abs(ended(begun(1))[0] - together[1]).max() <= 1  # rounding of other batch sizes
    assert np.abs(ended(begun(2, 1), active=np.array([False, True]))[1] - together[1]).max() <= 1
    mixed = begun(0, 2)
    ended(mixed, until=2)
    mixed.reset(seed=2, options={"task": ["b", "b"], "reset_mask": np.array([True, False])})
    assert np.abs(ended(mixed)[0] - together[1]).max() <= 1
    other = DreamWorld(model, FakeWorld(1), 2.0, steps=2, seed=8)
    other.reset(seed=2, options={"task": ["b"]})
    assert np.abs(ended(other)[0] - together[1]).max() > 9  # the noise does count


def test_replay_plays_every_episode_its_own_sequence():
    sequences = [np.full((steps, 4, 4), 0.1 * (i + 1), np.float32) for i, steps in enumerate((1, 2, 3))]
    policy = ReplayPolicy(sequences)
    policy.reset(["a", "b"])
    observation = {"state": np.zeros((2, 4))}
    assert policy.act(observation)[:, 0, 0].tolist() == pytest.approx([0.1, 0.2])
    assert policy.act(observation)[:, 0, 0].tolist() == pytest.approx([0.0, 0.2])
    policy.reset(["c", "c"])  # a short last batch is padded by the rollout
    assert policy.act(observation)[:, 0, 0].tolist() == pytest.approx([0.3, 0.0])
