"""One function runs a policy in any world."""

import numpy as np
from tests.simulator.fake_world import FakeWorld

from presage.worlds import RandomPolicy, rollout


class Over(FakeWorld):
    """Solved before anything is done."""

    def reset(self, *, seed, options):
        observation, info = super().reset(seed=seed, options=options)
        return observation, info | {"success": np.ones(self.num_envs, bool)}


def test_an_episode_that_is_over_at_once_has_no_actions_of_the_usual_shape() -> None:
    (result,) = rollout(RandomPolicy((1, 4, 4)), Over(1), ["task"], [0], 3, record=True)
    assert result.success and result.steps == 0
    assert result.actions.shape == (0, 4, 4) and result.frames["front"].shape[0] == 1
