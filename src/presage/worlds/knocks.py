"""A world that interferes: in some episodes, at some moment, the object is knocked away from where it was."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from presage.worlds.vector import VectorWorld

ROWS = (3, 10)
"""Rows of an episode between which the knock comes, the second not among them"""
SHARE = 0.5
"""Of the episodes"""


def knock_of(seed: int) -> int | None:
    """The row of an episode after which it is knocked; None: never. It follows from the episode's seed."""
    rng = np.random.default_rng((seed, 7))
    row = int(rng.integers(*ROWS))
    return row if rng.random() < SHARE else None


class Knocked:
    """A `VectorWorld` whose object is knocked once in an episode, whoever acts.

    when: of an episode's seed, the row after which it is knocked, or None; half of the episodes by default.
    """

    def __init__(self, world: VectorWorld, when: Callable[[int], int | None] = knock_of) -> None:
        self.world, self.num_envs, self.when = world, world.num_envs, when
        self.single_action_space = world.single_action_space
        self.seeds: Sequence[int] = ()
        self.rows = 0

    def reset(self, seed: Sequence[int], options: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        self.seeds, self.rows = seed, 0
        return self.world.reset(seed=seed, options=options)

    def step(self, actions: np.ndarray, active: np.ndarray) -> Any:
        """As `VectorWorld.step`; what is observed is what there is after the knock."""
        observation, *rest = self.world.step(actions, active=active)
        self.rows += 1
        for i in np.flatnonzero(active).tolist():
            if self.when(self.seeds[i]) == self.rows:
                observation = self.world.disturb(i, "knock", self.seeds[i])
        return observation, *rest

    def close(self) -> None:
        self.world.close()
