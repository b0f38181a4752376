"""A world in which objects are knocked once: what a policy that does not look cannot answer."""

from typing import Any

import numpy as np

from presage.worlds.protocol import Observation


class Knocked:
    """A `worlds.vector.VectorWorld` whose objects are displaced once, after `step` chunks of each episode, by the
    world's disturbance `kind`."""

    def __init__(self, world: Any, step: int, kind: str = "knock", seed: int = 0) -> None:
        self.world, self.at, self.kind, self.seed = world, step, kind, seed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)

    def reset(self, **settings: Any) -> tuple[Observation, dict[str, Any]]:
        self.done = 0
        return self.world.reset(**settings)

    def step(self, actions: np.ndarray, active: np.ndarray | None = None) -> tuple[Any, ...]:
        observation, *rest = self.world.step(actions, active=active)
        self.done += 1
        if self.done == self.at:
            for i in np.flatnonzero(np.ones(self.num_envs, bool) if active is None else active):
                observation = self.world.disturb(int(i), self.kind, seed=self.seed + int(i))
        return observation, *rest
