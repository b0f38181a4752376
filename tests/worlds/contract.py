"""Gymnasium's contract as checks that every vector environment of presage has to pass, simulator or dream."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from presage.errors import UserError


class Single(gymnasium.Env):
    """The one environment of a vector environment, for gymnasium's own checker."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.observation_space, self.action_space = world.single_observation_space, world.single_action_space
        self.metadata, self.render_mode = {**world.metadata, "render_fps": 5}, world.render_mode
        self.spec = gymnasium.envs.registration.EnvSpec("presage/Single-v0", nondeterministic=False)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        observation, info = self.world.reset(seed=seed, options=options)
        return self._row(observation), self._row(info)

    def step(self, action):
        observation, reward, terminated, truncated, info = self.world.step(action[None])
        return self._row(observation), float(reward[0]), bool(terminated[0]), bool(truncated[0]), self._row(info)

    def render(self):
        return self.world.render()[0]

    @staticmethod
    def _row(batch):
        return {key: value[0] for key, value in batch.items()}


def check_single_env(world: Any) -> None:
    """Gymnasium's own checker, which asks among others that seeds repeat, that what is returned lies in its space, and
    that nothing returned is changed later."""
    single = Single(world)
    spec, single.spec = single.spec, None  # with a spec it would make environments from a registry
    check_env(single)
    single.spec = spec  # with one that says "deterministic" it compares the second run with the first
    gymnasium.utils.env_checker.check_reset_seed_determinism(single)
    gymnasium.utils.env_checker.check_step_determinism(single)


def check_vector_env(world: Any) -> None:
    """What gymnasium's own vector environments promise. Three environments; closed at the end."""
    assert world.num_envs == 3 and world.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    _check_lines_before_a_reset(world)
    check_seeds(world)
    _check_partial_reset(world)
    _check_actions(world)
    _check_wrappers(world)
    _check_close(world)


def sample(world: Any, seed: int = 0) -> np.ndarray:
    world.action_space.seed(seed)
    return world.action_space.sample()


def _refused(message: str, call: Callable[[], object]) -> None:
    with pytest.raises(UserError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def _check_lines_before_a_reset(world: Any) -> None:
    _refused("environment 0 was never reset", lambda: world.step(sample(world)))
    _refused("environment 0 was never reset", lambda: world.render())
    some = {"reset_mask": np.array([False, True, True])}
    _refused("environment 0 was never reset", lambda: world.reset(options=some))


def check_seeds(world: Any) -> None:
    def first(seed: Any) -> dict[str, np.ndarray]:
        observation, info = world.reset(seed=seed)
        assert observation in world.observation_space
        assert all(info[f"_{key}"].all() for key in info if not key.startswith("_"))
        return observation

    once, then, again, after = first(5), first(None), first(5), first(None)
    assert data_equivalence(once, again, exact=True) and data_equivalence(then, after, exact=True)
    assert not data_equivalence(once, then, exact=True)
    assert data_equivalence(first([5, 6, 7]), once, exact=True)  # an int counts up
    assert data_equivalence(first(np.int64(5)), once, exact=True)
    first([5, 6, 7])
    mixed = first([5, None, 7])
    for name, images in mixed.items():
        assert np.array_equal(images[[0, 2]], once[name][[0, 2]])
        assert np.array_equal(images[1], then[name][1])  # drawn by the generator that seed 6 began
    for seed in (-1, [1, -2, 3], 1.5, "1", True, [1, 2.0, 3], 2**32, 2**32 - 2):
        _refused("seed", lambda seed=seed: world.reset(seed=seed))
    _refused("seed: 2 entries for 3 environments", lambda: world.reset(seed=[1, 2]))
    _refused("options: 'mask' is unknown; there are task", lambda: world.reset(options={"mask": np.ones(3, bool)}))
    _refused("options: list, expected a dict", lambda: world.reset(options=[1]))
    _refused("task: 2 entries for 3", lambda: world.reset(options={"task": ["fetch-reach"] * 2}))
    _refused("task: str, expected a list of 3", lambda: world.reset(options={"task": "fetch-reach"}))


def _check_partial_reset(world: Any) -> None:
    start, _ = world.reset(seed=5)
    moved, *_, info = world.step(sample(world))
    taken = int(info["steps"][0])
    assert taken > 0 and moved in world.observation_space and all(info["_steps"])
    options = {"reset_mask": np.array([False, True, False])}
    observation, info = world.reset(seed=5, options=options)
    assert list(options) == ["reset_mask"]  # gymnasium's wrappers read it afterwards
    assert info["steps"].tolist() == [taken, 0, taken]
    assert all(info[f"_{key}"].tolist() == [False, True, False] for key in info if not key.startswith("_"))
    for name, images in observation.items():
        assert np.array_equal(images[[0, 2]], moved[name][[0, 2]]) and np.array_equal(images[1], start[name][1])
    assert world.step(sample(world))[-1]["steps"].tolist() == [2 * taken, taken, 2 * taken]
    for mask in ([True, False, True], np.array([1, 0, 1]), np.ones(2, bool), np.ones((3, 1), bool)):
        _refused(
            "reset_mask: .* expected a numpy array of bool, shape",
            lambda m=mask: world.reset(options={"reset_mask": m}),
        )
    _refused("reset_mask: no entry is True", lambda: world.reset(options={"reset_mask": np.zeros(3, bool)}))


def _check_actions(world: Any) -> None:
    world.reset(seed=5)
    before, good = world.render(), sample(world)
    for value in (np.nan, np.inf, -np.inf):
        bad = good.copy()
        bad[1, 2, 0] = value
        where = rf"actions: {value} \(environment 1, action 2 of its chunk, number 0\)"
        _refused(where, lambda bad=bad: world.step(bad))
    for bad in (good[:2], good[:, :1], good[..., :1], good[0], good.reshape(3, -1), good[..., None], 0.5):
        _refused("actions: shape .* expected", lambda bad=bad: world.step(bad))
    for bad in (good > 0, good.astype(str), good.astype(complex), good.astype(object), None):
        _refused("actions: .* expected float32", lambda bad=bad: world.step(bad))
    _refused("actions: rows of different length", lambda: world.step([good[0].tolist(), [1.0], [2.0]]))
    for active in ([True, False, True], np.array([0, 2, 1]), np.ones(2, bool)):
        _refused("active: .* expected a numpy array of bool", lambda active=active: world.step(good, active=active))
    assert all(np.array_equal(a, b) for a, b in zip(before, world.render(), strict=True))  # nothing was executed
    bad = good.copy()
    bad[1] = np.nan  # of an environment that stands still
    observation, reward, terminated, truncated, info = world.step(bad, active=np.array([True, False, True]))
    assert observation in world.observation_space and info["_steps"].tolist() == [True, False, True]
    assert reward.dtype == np.float64 and terminated.dtype == truncated.dtype == bool
    assert reward.shape == terminated.shape == truncated.shape == (3,)
    world.step(good, active=np.zeros(3, bool))


def _check_wrappers(world: Any) -> None:
    wrapped = RecordEpisodeStatistics(world)
    wrapped.reset(seed=1)
    wrapped.step(sample(world))
    wrapped.reset(options={"reset_mask": np.array([False, False, True])})
    assert wrapped.episode_lengths.tolist() == [1, 1, 0]
    pictures = world.render()
    assert len(pictures) == 3 and pictures[0].dtype == np.uint8
    assert pictures[0].shape == (world.size, len(world.cameras) * world.size, 3)


def _check_close(world: Any) -> None:
    world.close()
    world.close()
    for call in (lambda: world.reset(seed=1), lambda: world.step(sample(world)), world.render):
        _refused("this world is closed; make a new one", call)
