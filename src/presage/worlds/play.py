"""Contact-rich motion about the objects of a Meta-World table: what neither an expert nor noise ever does.

An expert touches an object as planned, noise hardly ever, so a model of both cannot know what a sweep, a miss, a half
grasp or a drop does. Here the hand reaches near things, sweeps through them, presses, pokes, grasps and drops, drags
handles, misses on purpose and follows through. An episode is a row of such manoeuvres, each a few waypoints with a
gripper command. Directions and heights are drawn evenly: a model needs to see every direction more than every place.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from presage.worlds.scripted import Scripted

LOW, HIGH = np.array([-0.30, 0.42, 0.04]), np.array([0.30, 0.90, 0.36])
"""Where the hand is sent, metres."""
NEAR = 0.012
"""Metres from a waypoint at which it counts as reached."""
PATIENCE = 26
"""Environment steps after which a waypoint that cannot be reached is given up."""
GAIN = 10.0
"""Per metre: a distance of 10 cm asks for a full action."""
MANOEUVRES = {"sweep": 0.26, "grasp": 0.20, "press": 0.09, "poke": 0.12, "drag": 0.13, "wander": 0.08, "expert": 0.12}
"""Manoeuvre -> its share, as the lab plays."""
MORE_MISSES = {"sweep": 0.23, "grasp": 0.17, "press": 0.07, "poke": 0.10, "drag": 0.11, "wander": 0.07}
MORE_MISSES |= {"expert": 0.06, "miss": 0.14, "meddle": 0.05}
"""The same with experts that are mistaken, and somebody who puts things elsewhere, as `presage collect --play` does."""
MEDDLING = {"move": 0.6, "knock": 0.25, "remove": 0.15}
"""What becomes of a thing (`metaworld.Simulation.disturb`)"""
PLACED, VARIED = 0.7, 1 / 3
"""Shares of episodes that begin with the object anywhere, and with other masses and frictions"""
WARM_UP = (32, 400)
"""Environment steps of play before a branch begins"""
MISS = 0.3
"""Share of manoeuvres that are aimed beside the thing."""

Waypoint = tuple[np.ndarray, float, int]
"""Where the hand goes (3,) in metres, the gripper's command (1 closes), and for how many steps it waits there."""


def things(simulation: Any) -> np.ndarray:
    """Positions (n, 3) in metres of what the task observes beside the hand: one or two objects."""
    seen = np.stack([simulation.observation[4:7], simulation.observation[11:14]])
    return seen[np.abs(seen).sum(1) > 0]


def begin(simulation: Any, seed: int, branch: int | None = None) -> "Player":
    """Who plays the episode of a seed in a simulation that has just been reset: things lie elsewhere, and in some
    episodes they are heavier or lighter, stick or glide.

    branch: the first steps are played at once, the same for all branches of a seed; what follows is the branch's own.
    """
    rng = np.random.default_rng((seed, 8))
    if rng.random() < PLACED:
        spot = rng.uniform((-0.28, 0.45, 0.02), (0.28, 0.85, 0.02))
        simulation.place(spot if simulation.loose else rng.random(3), rng)
    if rng.random() < VARIED:
        simulation.vary(rng)
    for _ in range(8):  # it settles
        simulation.step(np.array([0.0, 0.0, 0.0, -1.0]))
    player = Player(simulation, seed, MORE_MISSES)
    if branch is None:
        return player
    for _ in range(int(rng.integers(*WARM_UP))):
        simulation.step(player.action())
    return Player(simulation, seed, MORE_MISSES, branch)


def mistaken_expert(
    simulation: Any, aside: np.ndarray | None, gripper: float | None = None, goal: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """The scripted expert; told that the object or the goal is so many metres (3,) from where it is, or with its
    gripper held."""
    while True:
        seen = simulation.observation.copy()
        if aside is not None:
            simulation.observation[4:7] += aside
            simulation.observation[22:25] += aside
        if goal is not None:
            simulation.observation[-3:] += goal
        action = simulation.expert_action()
        simulation.observation = seen
        if gripper is not None:
            action[3] = gripper
        yield action


def any_direction(rng: np.random.Generator) -> np.ndarray:
    """(3,) of length 1, along the table."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle), 0.0])


def misled_expert(simulation: Any, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The scripted expert, who believes that the object, the goal or both are elsewhere: a little off, or as far as in
    another episode."""

    def away() -> np.ndarray:
        way = any_direction(rng) * rng.uniform(0.025, 0.2)
        way[2] = rng.choice([0.0, rng.uniform(-0.02, 0.06)])
        return way

    aside, goal = (away() if wrong else None for wrong in ((1, 0), (0, 1), (1, 1))[int(rng.integers(3))])
    return mistaken_expert(simulation, aside, goal=goal)


class Player(Scripted):
    """Drives one episode of a Meta-World simulation. All randomness comes from the episode's seed, and the branch's
    number."""

    def __init__(
        self, simulation: Any, seed: int, manoeuvres: Mapping[str, float] = MANOEUVRES, branch: int | None = None
    ) -> None:
        self.simulation, self.manoeuvres = simulation, manoeuvres
        self.rng = np.random.default_rng((seed, 4) if branch is None else (seed, 9, branch))

    @property
    def lost(self) -> bool:
        """Nothing is left within reach."""
        seen = things(self.simulation)
        inside = (seen[:, :2] > LOW[:2] - 0.06) & (seen[:, :2] < HIGH[:2] + 0.06)
        return not bool((inside.all(1) & (seen[:, 2] > -0.02)).any())

    def _manoeuvre(self) -> Iterator[np.ndarray]:
        name = str(self.rng.choice(list(self.manoeuvres), p=list(self.manoeuvres.values())))
        speed, noise = self.rng.uniform(0.35, 1.0), self.rng.choice([0.0, 0.1, 0.3], p=[0.5, 0.3, 0.2])
        if name == "expert":
            for _ in range(int(self.rng.integers(12, 100))):
                yield self._blur(self.simulation.expert_action(), noise)
            return
        if name == "miss":
            aside = self._direction() * self.rng.uniform(0.03, 0.10)
            gripper = self.rng.choice([np.nan, -1.0, 1.0], p=[0.5, 0.3, 0.2])
            acts = mistaken_expert(self.simulation, aside, None if np.isnan(gripper) else float(gripper))
            for _ in range(int(self.rng.integers(30, 100))):
                yield self._blur(next(acts), noise)
            return
        for point, gripper, wait in getattr(self, f"_{name}")(self._aim()):
            yield from self._go(point, gripper, wait, speed, noise)

    def _go(self, point: np.ndarray, gripper: float, wait: int, speed: float, noise: float) -> Iterator[np.ndarray]:
        point = np.clip(point, LOW, HIGH)
        for _ in range(PATIENCE):
            offset = point - self.simulation.state[:3]
            if np.linalg.norm(offset) < NEAR:
                break
            yield self._blur(np.append(np.clip(GAIN * offset, -speed, speed), gripper), noise)
        for _ in range(wait):
            yield self._blur(np.append(GAIN * (point - self.simulation.state[:3]), gripper), noise)

    def _blur(self, action: np.ndarray, noise: float) -> np.ndarray:
        return np.clip(action + noise * self.rng.normal(size=4) * [1, 1, 1, 0.3], -1.0, 1.0).astype(np.float32)

    # -- manoeuvres ---------------------------------------------------------------------------------------------------

    def _aim(self) -> np.ndarray:
        """The thing that is meant (3,): it, or beside it."""
        seen = things(self.simulation)
        thing = seen[int(self.rng.integers(len(seen)))].copy()
        if self.rng.random() < MISS:
            thing[:2] += self._direction()[:2] * self.rng.uniform(0.03, 0.10)
        return thing

    def _direction(self) -> np.ndarray:
        return any_direction(self.rng)

    def _above(self, point: np.ndarray) -> np.ndarray:
        return point + [0.0, 0.0, self.rng.uniform(0.08, 0.15)]

    def _sweep(self, thing: np.ndarray) -> list[Waypoint]:
        """Through it, at its height, from any side."""
        way, gripper = self._direction(), self._any_grip()
        height = np.array([0.0, 0.0, self.rng.uniform(-0.01, 0.05)])
        start = thing - way * self.rng.uniform(0.07, 0.13) + height
        end = thing + way * self.rng.uniform(0.02, 0.18) + height
        return [(self._above(start), gripper, 0), (start, gripper, 0), (end, gripper, int(self.rng.integers(0, 6)))]

    def _grasp(self, thing: np.ndarray) -> list[Waypoint]:
        """Descend, close (sometimes too early or too high), lift, carry, let go in the air or on the table."""
        at = thing + [0.0, 0.0, self.rng.uniform(-0.03, 0.03)]
        lifted = at + [0.0, 0.0, self.rng.uniform(0.02, 0.18)]
        carried = lifted + self._direction() * self.rng.uniform(0.0, 0.2)
        down = carried if self.rng.random() < 0.5 else np.append(carried[:2], at[2])
        take = [(self._above(at), -1.0, 0), (at, -1.0, 0), (at, 1.0, int(self.rng.integers(2, 12)))]
        carry = [(lifted, 1.0, 0), (carried, 1.0, 2)]
        return [*take, *carry, (down, 1.0, 0), (down, -1.0, int(self.rng.integers(4, 10)))]

    def _press(self, thing: np.ndarray) -> list[Waypoint]:
        """Down onto it and up again."""
        gripper = self._any_grip()
        below = thing - [0.0, 0.0, self.rng.uniform(0.0, 0.08)]
        wait = int(self.rng.integers(0, 8))
        return [(self._above(thing), gripper, 0), (below, gripper, wait), (self._above(thing), gripper, 0)]

    def _poke(self, thing: np.ndarray) -> list[Waypoint]:
        """Up to it from a side, and back."""
        way = self._direction()
        start = thing - way * self.rng.uniform(0.08, 0.15)
        touch = thing - way * self.rng.uniform(-0.03, 0.03)
        return [(start + [0.0, 0.0, 0.1], 1.0, 0), (start, 1.0, 0), (touch, 1.0, 2), (start, 1.0, 0)]

    def _drag(self, thing: np.ndarray) -> list[Waypoint]:
        """Take hold where a handle would be, and pull or push along."""
        gripper = self._any_grip()
        beside = thing + self._direction() * self.rng.uniform(0.0, 0.05)
        end = beside + self._direction() * self.rng.uniform(0.05, 0.25) + [0.0, 0.0, self.rng.normal(0.0, 0.01)]
        back = beside + self._direction() * self.rng.uniform(0.0, 0.1)
        return [(self._above(beside), -1.0, 0), (beside, gripper, 3), (end, gripper, 0), (back, gripper, 0)]

    def _meddle(self, thing: np.ndarray) -> list[Waypoint]:
        """Somebody else puts it elsewhere, at once: where it was seen before is no place to remember it at."""
        kind = str(self.rng.choice(list(MEDDLING), p=list(MEDDLING.values())))
        self.simulation.disturb(kind, int(self.rng.integers(2**31)))
        return self._wander(self._aim())

    def _wander(self, thing: np.ndarray) -> list[Waypoint]:
        """Anywhere, or nowhere."""
        gripper = self._any_grip()
        spot = thing + self.rng.normal(0.0, [0.12, 0.12, 0.06])
        return [(spot, gripper, int(self.rng.integers(0, 12))), (self.rng.uniform(LOW, HIGH), -gripper, 0)]

    def _any_grip(self) -> float:
        return float(self.rng.choice([-1.0, 1.0]))
