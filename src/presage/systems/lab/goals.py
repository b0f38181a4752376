"""Goal pictures out of play that nobody trained on, and how well a policy reaches them in the simulator.

A goal is what the same play showed some rows later, so it can be reached, and what was done says how. Hand goals move
the hand and leave the object; object goals move the object, and only the object counts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np

from presage.errors import UserError
from presage.systems.lab.starts import Start
from presage.worlds.collect import CHUNK, renderer_of, simulation_of
from presage.worlds.play import Player, things
from presage.worlds.protocol import Policy
from presage.worlds.vector import VectorWorld
from presage.worlds.world import Snapshot, find_world

REACHED = 0.03
"""Metres from where play had it"""
HAND_MOVED, THING_MOVED, STILL = 0.06, 0.045, 0.005
"""Metres. A goal is not reached at the start, nor nearly."""


@dataclass(frozen=True, eq=False)
class Goal:
    task: str
    snapshot: bytes
    """Of the simulation at the start"""
    start: np.ndarray
    """(S, S, 3) uint8 picture at the start"""
    state: np.ndarray
    """(D,) of the robot at the start"""
    picture: np.ndarray
    """(S, S, 3) uint8 to be reached"""
    path: np.ndarray
    """(rows, chunk, A) what play did on the way"""
    hand: np.ndarray
    """(3,) metres, to be reached"""
    thing: np.ndarray
    """(3,) metres, to be reached"""
    moved: bool
    """The object did: it is what counts"""
    before: Mapping[str, np.ndarray]
    """A row earlier: `picture`, `state`, and the `action` (chunk, A) that led to the start. The hand lags behind what
    it is told, so one picture says little of where it is going."""


@dataclass(frozen=True)
class Attempt:
    reached: bool
    missed: float
    """Metres at the end"""
    seconds: float
    """Of a decision"""


@dataclass(frozen=True, eq=False)
class Played:
    """An episode of play, row by row."""

    task: str
    pictures: np.ndarray
    """(R, S, S, 3) uint8"""
    states: np.ndarray
    """(R, D)"""
    things: np.ndarray
    """(R, 3) metres, where the object is"""
    actions: np.ndarray
    """(R, chunk, A) after each row"""
    snapshots: list[bytes]

    def goal(self, start: int, end: int, moved: bool) -> Goal:
        return Goal(
            self.task,
            self.snapshots[start],
            self.pictures[start],
            self.states[start],
            self.pictures[end],
            self.actions[start:end],
            self.states[end, :3],
            self.things[end],
            moved,
            {
                "picture": self.pictures[start - 1],
                "state": self.states[start - 1],
                "action": self.actions[start - 1],
            },
        )


def play(start: Start, camera: str, size: int, rows: int = 40) -> Played:
    simulation = simulation_of(start.task)
    renderer = renderer_of(find_world(start.task), (camera,), size, 2)
    simulation.reset(start.seed)
    player = Player(simulation, start.seed)
    shown: list[tuple[np.ndarray, np.ndarray, np.ndarray, bytes]] = []
    actions = np.zeros((rows, CHUNK, find_world(start.task).action_size), np.float32)
    for row in range(rows):
        place = things(simulation)[0].astype(np.float32)
        shown.append((simulation.frames(renderer)[camera], simulation.state, place, simulation.save().to_bytes()))
        for step in range(CHUNK):
            actions[row, step] = player.action()
            simulation.step(actions[row, step])
    pictures, states, places, snapshots = zip(*shown, strict=True)
    return Played(start.task, np.stack(pictures), np.stack(states), np.stack(places), actions, list(snapshots))


def goals_in(played: Played, ahead: tuple[int, int], hand: float, thing: float, rng: np.random.Generator) -> list[Goal]:
    """A hand goal and an object goal, as far as an episode holds them.

    ahead: least and largest number of rows. hand, thing: metres that each moves, or more.
    """
    pairs = [(i, i + k) for k in range(ahead[0], ahead[1] + 1) for i in range(1, len(played.states) - k)]
    begin, end = np.array(pairs).T
    by_hand = np.linalg.norm(played.states[end, :3] - played.states[begin, :3], axis=1)
    by_thing = np.linalg.norm(played.things[end] - played.things[begin], axis=1)
    goals = []
    for moved, fits in ((False, (by_hand > hand) & (by_thing < STILL)), (True, by_thing > thing)):
        if fits.any():
            chosen = int(rng.choice(np.flatnonzero(fits)))
            goals.append(played.goal(begin[chosen], end[chosen], moved))
    return goals


def choose_goals(
    starts: Iterable[Start], count: int, camera: str, size: int, ahead: tuple[int, int] = (3, 6), near: bool = False
) -> list[Goal]:
    """`count` goals in the play of starts, half of them object goals.

    near: goals of which little is asked, for probes of single rows.

    Raises:
        UserError: there is not enough play.
    """
    hand, thing = (0.02, 0.01) if near else (HAND_MOVED, THING_MOVED)
    left = {False: count - count // 2, True: count // 2}
    goals: list[Goal] = []
    for start in starts:
        found = goals_in(play(start, camera, size), ahead, hand, thing, np.random.default_rng((start.seed, 5)))
        for goal in found:
            if left[goal.moved]:
                left[goal.moved] -= 1
                goals.append(goal)
        if not any(left.values()):
            return goals
    raise UserError(f"play holds {len(goals)} goals of {count}: give more starts")


Aim = Callable[[np.ndarray], None]
"""Tells a policy the picture (S, S, 3) that it is to reach"""


def attempt(policy: Policy, aim: Aim, goal: Goal, world: VectorWorld, rows: int, picture: np.ndarray) -> Attempt:
    """Try to reach a goal from its start, being shown `picture`, and to be there after so many rows: whoever passes by
    on the way to somewhere else has not reached it."""
    observation = world.restore([0], [goal.snapshot])
    policy.reset([""])
    aim(picture)
    seconds = []
    for _ in range(rows):
        begin = monotonic()
        chunk = policy.act(observation)
        seconds.append(monotonic() - begin)
        observation = world.step(np.clip(chunk, -1, 1))[0]
    missed = _missed(goal, observation, world)
    return Attempt(missed < REACHED, missed, float(np.median(seconds)))


def _missed(goal: Goal, observation: dict[str, np.ndarray], world: VectorWorld) -> float:
    """Metres between where what counts is and where it is to be."""
    if not goal.moved:
        return float(np.linalg.norm(observation["state"][0, :3] - goal.hand))
    seen = Snapshot.from_bytes(world.snapshot([0])[0]).arrays["observation"]
    return float(np.linalg.norm(seen[4:7] - goal.thing))


def strangers(goals: Sequence[Goal]) -> list[np.ndarray]:
    """For each goal the picture of another one of the same kind, of the same task where there is one: the control."""
    out = []
    for i, goal in enumerate(goals):
        others = [g for g in [*goals[i + 1 :], *goals[:i]] if g.moved == goal.moved and g.snapshot != goal.snapshot]
        same = [g for g in others if g.task == goal.task]
        out.append((same or others or [goal])[0].picture)
    return out
