"""A world that foretells: it shows what its expert brings about, and is left as it was."""

import numpy as np
import pytest

from presage.systems.lab.foretold import FUTURE, Foretold
from presage.worlds.vector import VectorWorld


@pytest.fixture
def world() -> Foretold:
    return Foretold(VectorWorld(["drawer-open-v3"], 2, ("front",), 16, chunk=4), 2)


def test_what_is_foretold_comes_if_the_expert_acts(world: Foretold) -> None:
    observation, _ = world.reset([3, 4], {"task": ["drawer-open-v3"] * 2})
    future = observation[FUTURE + "image.front"]
    assert future.shape == (2, 2, 16, 16, 3)
    everyone = np.ones(2, bool)
    for row in range(2):
        observation, *_ = world.step(world.world.expert_chunk(), everyone)
        np.testing.assert_array_equal(observation["image.front"], future[:, row])
    world.close()


def test_it_leaves_the_world_as_it_was(world: Foretold) -> None:
    plain = VectorWorld(["drawer-open-v3"], 2, ("front",), 16, chunk=4)
    options = {"task": ["drawer-open-v3"] * 2}
    seen, (other, _) = world.reset([3, 4], options)[0], plain.reset(seed=[3, 4], options=options)
    chunk = np.full((2, 4, 4), 0.3, np.float32)
    for active in (np.array([True, True]), np.array([True, False]), np.array([False, False])):
        np.testing.assert_array_equal(seen["state"], other["state"])
        seen, other = world.step(chunk, active)[0], plain.step(chunk, active=active)[0]
    np.testing.assert_array_equal(seen["image.front"], other["image.front"])
    world.close(), plain.close()
