"""Play with the block of Push-T: pushed from every side and at every speed, grazed, missed, circled; and now and then
some steps of the expert."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from presage.worlds.pusht_shape import ARENA
from presage.worlds.scripted import Scripted

LOW, HIGH = 30.0, ARENA - 30.0
"""Where the agent is sent, pixels of the arena"""
ROOM = 130.0
"""Pixels between a wall and the end of a push: the block is between them, and walls give way"""
REACHED, PATIENCE = 12.0, 25
"""Pixels from a place at which it counts as reached, and steps after which it is given up"""
MANOEUVRES = {"push": 0.5, "graze": 0.15, "circle": 0.1, "wander": 0.13, "expert": 0.12}
WARM_UP = (10, 120)
"""Environment steps of play before a branch begins"""


def begin(simulation: Any, seed: int, branch: int | None = None) -> "Player":
    """Who plays the episode of a seed in a simulation that has just been reset, where the block lies anywhere already.

    branch: the first steps are played at once, the same for all branches of a seed; what follows is the branch's own.
    """
    player = Player(simulation, seed)
    if branch is None:
        return player
    for _ in range(int(np.random.default_rng((seed, 8)).integers(*WARM_UP))):
        simulation.step(player.action())
    return Player(simulation, seed, branch)


class Player(Scripted):
    def __init__(self, simulation: Any, seed: int, branch: int | None = None) -> None:
        self.simulation = simulation
        self.rng = np.random.default_rng((seed, 4) if branch is None else (seed, 9, branch))

    @property
    def lost(self) -> bool:
        """The block was pressed through a wall."""
        return bool((np.abs(self.simulation.block[:2] - ARENA / 2) > ARENA / 2).any())

    def _manoeuvre(self) -> Iterator[np.ndarray]:
        name = str(self.rng.choice(list(MANOEUVRES), p=list(MANOEUVRES.values())))
        speed, noise = np.exp(self.rng.uniform(np.log(15), np.log(120))), self.rng.choice([0.0, 6.0], p=[0.7, 0.3])
        if name == "expert":
            for _ in range(int(self.rng.integers(5, 30))):
                yield self.simulation.expert_action()
            return
        for place in getattr(self, f"_{name}")():
            yield from self._go(np.clip(place, LOW, HIGH), speed, noise)
        for _ in range(int(self.rng.integers(0, 4))):
            yield self._towards(self.simulation.agent[:2])

    def _go(self, place: np.ndarray, speed: float, noise: float) -> Iterator[np.ndarray]:
        for _ in range(PATIENCE):
            way = place - self.simulation.agent[:2]
            distance = np.linalg.norm(way)
            if distance < REACHED:
                return
            ahead = way * min(1.0, speed / distance)
            yield self._towards(self.simulation.agent[:2] + ahead + noise * self.rng.normal(size=2))

    def _towards(self, place: np.ndarray) -> np.ndarray:
        return np.clip(place / (ARENA / 2) - 1.0, -1.0, 1.0).astype(np.float32)

    # -- manoeuvres: places (2,) that the agent passes one after the other -------------------------------------------

    def _way(self) -> np.ndarray:
        angle = self.rng.uniform(0, 2 * np.pi)
        return np.array([np.cos(angle), np.sin(angle)])

    def _push(self) -> list[np.ndarray]:
        """Through the block, up to it, or not quite."""
        way, aim = self._way(), self.simulation.block[:2] + self.rng.normal(0.0, 25.0, 2)
        end = np.clip(aim + way * self.rng.uniform(-40, 120), ROOM, ARENA - ROOM)
        return [aim - way * self.rng.uniform(90, 150), end]

    def _graze(self) -> list[np.ndarray]:
        """Past the block, so that it turns or stays."""
        way = self._way()
        beside = self.simulation.block[:2] + np.array([-way[1], way[0]]) * self.rng.uniform(40, 90)
        return [beside - way * 120, beside + way * 120]

    def _circle(self) -> list[np.ndarray]:
        start, turn, radius = self.rng.uniform(0, 2 * np.pi), self.rng.choice([-0.5, 0.5]), self.rng.uniform(90, 150)
        angles = start + turn * np.arange(int(self.rng.integers(3, 12)))
        return [self.simulation.block[:2] + radius * np.array([np.cos(a), np.sin(a)]) for a in angles]

    def _wander(self) -> list[np.ndarray]:
        return [self.rng.uniform(LOW, HIGH, 2) for _ in range(2)]
