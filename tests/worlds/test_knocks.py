"""Knocks come in half of the episodes, at a row that follows from the seed, whoever acts."""

import numpy as np

from presage.worlds import RandomPolicy, rollout
from presage.worlds.knocks import ROWS, Knocked, knock_of
from presage.worlds.vector import VectorWorld


def test_half_of_the_episodes_are_knocked_once_in_their_middle() -> None:
    rows = [knock_of(seed) for seed in range(400_000, 400_400)]
    knocked = [row for row in rows if row is not None]
    assert 0.4 < len(knocked) / len(rows) < 0.6
    assert min(knocked) == ROWS[0] and max(knocked) == ROWS[1] - 1
    assert rows == [knock_of(seed) for seed in range(400_000, 400_400)]


def test_the_object_is_elsewhere_after_the_knock_and_nowhere_else_before() -> None:
    seed = next(s for s in range(400_000, 400_100) if knock_of(s) == ROWS[0])
    still = np.zeros((1, 4, 4), np.float32)
    frames = []
    for around in (lambda world: world, Knocked):
        world = around(VectorWorld(["push-v3"], 1, ("top",), 32, chunk=4))
        world.reset(seed=[seed], options={"task": ["push-v3"]})
        frames.append([world.step(still, active=np.ones(1, bool))[0]["image.top"] for _ in range(ROWS[0])])
        world.close()
    calm, knocked = frames
    assert all(np.array_equal(a, b) for a, b in zip(calm[:-1], knocked[:-1], strict=True))
    assert not np.array_equal(calm[-1], knocked[-1])


def test_policies_act_in_it_as_in_any_world() -> None:
    world = Knocked(VectorWorld(["push-v3"], 1, ("top",), 16, chunk=4), when=lambda seed: 1)
    (result,) = rollout(RandomPolicy((1, 4, 4)), world, ["push-v3"], [400_000], 2)
    assert result.steps == 2
    world.close()
