"""Several robots in one model: their numbers lie in named slots of one padded vector.

A robot fills the slots that its columns name and leaves the others empty. Robots that name the same slot share it,
which says that the numbers mean the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from presage.episodes.naming import Columns
from presage.episodes.robot import Robot
from presage.errors import UserError


@dataclass(frozen=True)
class Slots:
    """Slot -> (first entry, width), for the action and for the state."""

    action: dict[str, tuple[int, int]]
    state: dict[str, tuple[int, int]]

    @staticmethod
    def alone(robot: Robot) -> "Slots":
        """One robot: its vectors as they are."""
        return Slots.of([robot])

    @staticmethod
    def of(robots: Sequence[Robot]) -> "Slots":
        """The slots of several robots, in the order in which they are named.

        Raises:
            UserError: a slot has two widths, or a robot names it twice.
        """
        return Slots(_lay_out([r.action for r in robots]), _lay_out([r.state for r in robots]))

    @property
    def action_dim(self) -> int:
        """Numbers of an action; one that nobody fills where no robot has any, since the model has an action stream."""
        return max(1, _width(self.action))

    @property
    def state_dim(self) -> int:
        return _width(self.state)

    def place_action(self, robot: Robot, action: np.ndarray) -> np.ndarray:
        """(..., A) of the robot -> (..., action_dim), NaN where it fills nothing."""
        return _place(self.action_entries(robot), action, self.action_dim)

    def place_state(self, robot: Robot, state: np.ndarray) -> np.ndarray:
        """(..., S) of the robot -> (..., state_dim), NaN where it fills nothing."""
        return _place(_entries(self.state, robot.state), state, self.state_dim)

    def take_action(self, robot: Robot, action: np.ndarray) -> np.ndarray:
        """(..., action_dim) -> the robot's own (..., A)."""
        return action[..., self.action_entries(robot)]

    def take_state(self, robot: Robot, state: np.ndarray) -> np.ndarray:
        """(..., state_dim) -> the robot's own (..., S)."""
        return state[..., _entries(self.state, robot.state)]

    def action_entries(self, robot: Robot) -> list[int]:
        """(A,) entry of the shared vector of each of the robot's action columns."""
        return _entries(self.action, robot.action)


def separate(robots: Sequence[Robot]) -> list[Robot]:
    """The same robots, where their vectors differ with a slot each; robots that name slots keep them.

    Robots are alike when their columns have the same names: they share everything. What looks like a gripper in the
    data of one is a gripper of all, and absolute in all.
    """
    robots = [_agreed(robot, [r for r in robots if _names(r) == _names(robot)]) for robot in robots]
    if len({_names(robot) for robot in robots}) == 1:
        return robots
    named: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}
    out = []
    for robot in robots:
        slot = named.setdefault(
            _names(robot), f"{robot.name}-{len(named)}" if robot.name in named.values() else robot.name
        )
        out.append(replace(robot, action=_named(robot.action, slot), state=_named(robot.state, slot)))
    return out


def _names(robot: Robot) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(robot.action_names), tuple(robot.state_names)


def _agreed(robot: Robot, alike: Sequence[Robot]) -> Robot:
    entries = [min(places) for places in zip(*[r.relative for r in alike if r.relative])] if robot.relative else []
    return replace(robot, relative=entries, gripper=sorted({i for r in alike for i in r.gripper}))


def _named(columns: Sequence[Columns], slot: str) -> list[Columns]:
    """Columns without a slot get one; several of them one each."""
    return [
        part if part.slot else replace(part, slot=slot if len(columns) == 1 else f"{slot}.{i}")
        for i, part in enumerate(columns)
    ]


def _key(part: Columns, position: int) -> str:
    """Columns without a slot lie in one of their own, named by their place."""
    return part.slot or f"#{position}"


def _lay_out(vectors: Sequence[Sequence[Columns]]) -> dict[str, tuple[int, int]]:
    slots: dict[str, tuple[int, int]] = {}
    for columns in vectors:
        keys = [_key(part, position) for position, part in enumerate(columns)]
        for key, part in zip(keys, columns, strict=True):
            width = len(part.numbers)
            if keys.count(key) > 1:
                raise UserError(f"slot {key!r} is named twice by one robot; give {part.feature!r} a slot of its own")
            if slots.setdefault(key, (_width(slots), width))[1] != width:
                raise UserError(
                    f"slot {key!r} has {slots[key][1]} numbers in one robot and {width} in another; name another slot "
                    f"for {part.feature!r}"
                )
    return slots


def _width(slots: dict[str, tuple[int, int]]) -> int:
    return sum(width for _, width in slots.values())


def _entries(slots: dict[str, tuple[int, int]], columns: Sequence[Columns]) -> list[int]:
    out: list[int] = []
    for position, part in enumerate(columns):
        first, width = slots[_key(part, position)]
        out += range(first, first + width)
    return out


def _place(entries: Sequence[int], values: np.ndarray, width: int) -> np.ndarray:
    if list(entries) == list(range(width)):
        return values
    placed = np.full((*values.shape[:-1], width), np.nan, np.float32)
    placed[..., list(entries)] = values
    return placed
