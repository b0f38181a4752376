"""Experts that err all along, each episode in one way of its own.

Whoever has seen experts succeed, and nobody else move like one, believes that such motion succeeds: a video model then
lets a drawer follow a hand that missed it. Here the motion is an expert's, and what comes of it often is not: it means
a thing that lies elsewhere, drifts, comes late, goes slowly, shakes, or does with its gripper what it should not.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from presage.worlds.world import World

MISTAKES = {"misled": 0.4, "drifts": 0.15, "late": 0.15, "slow": 0.1, "shakes": 0.12, "grip": 0.08}
"""Mistake -> its share"""
DRIFT, LATE, SLOW, SHAKE = (0.1, 0.6), (2, 13), (0.2, 0.8), (0.4, 1.6)
"""Least and most: length of what is added to all actions, environment steps of delay, share of the speed, spread of
noise; the first and last in half action ranges"""


class Mistaken:
    """Drives one episode of a simulation that has just been reset. All randomness comes from the episode's seed."""

    lost = False

    def __init__(self, simulation: Any, seed: int, world: World) -> None:
        self.rng = np.random.default_rng((seed, 10))
        self.simulation, self.world = simulation, world
        self.mistake = str(self.rng.choice(list(MISTAKES), p=list(MISTAKES.values())))
        self.acts: Iterator[np.ndarray] = getattr(self, f"_{self.mistake}")()

    def action(self) -> np.ndarray:
        """The next action (A,) float32 in [-1, 1]."""
        return np.clip(next(self.acts), -1.0, 1.0).astype(np.float32)

    def _expert(self) -> Iterator[np.ndarray]:
        while True:
            yield self.simulation.expert_action()

    def _misled(self) -> Iterator[np.ndarray]:
        assert self.world.misled is not None
        return self.world.misled(self.simulation, self.rng)

    def _drifts(self) -> Iterator[np.ndarray]:
        way = self._of_the_hand(self.rng.normal(size=self.world.action_size))
        way *= self.rng.uniform(*DRIFT) * self.world.burst / np.linalg.norm(way)
        return (action + way for action in self._expert())

    def _late(self) -> Iterator[np.ndarray]:
        """All of the action, or what the gripper does."""
        waiting = deque([np.zeros(self.world.action_size)] * int(self.rng.integers(*LATE)))
        alone = self.world.gripper and self.rng.random() < 0.3
        for action in self._expert():
            waiting.append(action)
            late = waiting.popleft()
            yield np.append(action[:-1], late[-1]) if alone else late

    def _slow(self) -> Iterator[np.ndarray]:
        share = self.rng.uniform(*SLOW)
        part = self._of_the_hand(np.full(self.world.action_size, share - 1)) + 1
        return (action * part for action in self._expert())

    def _shakes(self) -> Iterator[np.ndarray]:
        spread = self.rng.uniform(*SHAKE) * self.world.burst
        return (action + self._of_the_hand(self.rng.normal(0.0, spread, len(action))) for action in self._expert())

    def _grip(self) -> Iterator[np.ndarray]:
        """Open, closed or the other way round."""
        held = self.rng.choice([-1.0, 1.0, np.nan])
        return (np.append(a[:-1], -a[-1] if np.isnan(held) else held) for a in self._expert())

    def _of_the_hand(self, action: np.ndarray) -> np.ndarray:
        """Nothing where the gripper is commanded."""
        if self.world.gripper:
            action[-1] = 0.0
        return action
