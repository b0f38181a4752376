"""What a world is: the interface that a simulator has to offer, and how a task name finds its world.

A world is one module with a `WORLD`. Everything else (the vector environment, collecting, rollouts, benches) is
written against this file alone. docs/your_world.md shows how to add one.
"""

import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from presage.errors import UserError
from presage.worlds.instructions import check_task, world_name

BACKGROUND, GOAL, ROBOT, OBJECT = range(4)
"""What a pixel shows (`segments` of a simulation), by priority: a pixel that shows two in part is the later's."""


@dataclass(frozen=True)
class Snapshot:
    """Everything the future of a simulation depends on: running on from it is bitwise what running on was."""

    task: str
    success: bool
    steps: int
    arrays: dict[str, np.ndarray]
    values: dict[str, Any] = field(default_factory=dict)  # what JSON can hold

    def to_bytes(self) -> bytes:
        """The same snapshot always gives the same bytes (an npz archive would hold the time of day)."""
        from safetensors.numpy import save

        rest = json.dumps({"task": self.task, "success": self.success, "steps": self.steps, "values": self.values})
        arrays = {f"array.{name}": np.ascontiguousarray(array) for name, array in self.arrays.items()}
        return save(arrays | {"json": np.frombuffer(rest.encode(), np.uint8)})

    @staticmethod
    def from_bytes(data: bytes) -> "Snapshot":
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays = load(data)
            rest = json.loads(arrays.pop("json").tobytes())
            return Snapshot(arrays={name.removeprefix("array."): each for name, each in arrays.items()}, **rest)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"not a snapshot of a world ({error}); restore what snapshot() returned") from None

    def check(self, task: str) -> None:
        """Raise `UserError` unless this is a snapshot of `task`."""
        if self.task != task:
            raise UserError(f"snapshot of task {self.task!r} cannot be restored into {task!r}")


class Simulation(Protocol):
    """One task, one episode at a time. Two simulations of a task, given the same seed and actions, agree to the bit."""

    task: str
    success: bool  # latched: reached at any step since the last reset
    steps: int  # since the last reset

    def reset(self, seed: int) -> None:
        """Start the episode that belongs to `seed`; what ran before leaves no trace."""

    def step(self, action: np.ndarray) -> float:
        """Execute one action (A,), clipped to [-1, 1]; returns the simulator's own reward."""

    @property
    def state(self) -> np.ndarray:
        """Proprioception (S,) float32: what a real robot would know about itself."""

    def expert_action(self) -> np.ndarray:
        """What the scripted expert does now, (A,) float32 in [-1, 1]. It has no memory outside the snapshot."""

    def save(self) -> Snapshot: ...

    def load(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of the same task."""

    def disturb(self, kind: str, seed: int) -> None:
        """Interfere with the object, reproducibly; `kind` is one of the world's `disturbances`."""

    def frames(self, renderer: Any, show_goal: bool = True) -> dict[str, np.ndarray]:
        """Images drawn by the world's renderer, camera name -> (size, size, 3) uint8, upright."""

    def masks(self, renderer: Any, show_goal: bool = True) -> dict[str, np.ndarray]:
        """Camera name -> (size, size) bool: pixels of the hand, of what the task moves and of the goal marker."""


class Player(Protocol):
    """Who plays with a world's objects."""

    @property
    def lost(self) -> bool:
        """Nothing is left within reach."""

    def action(self) -> np.ndarray:
        """The next action (A,) float32 in [-1, 1]."""


@dataclass(frozen=True)
class World:
    """A simulator, as plain facts and three functions."""

    name: str
    robot: str  # `robot_type` of the datasets recorded here
    action_size: int  # A; every action lies in [-1, 1]
    gripper: bool  # the last action opens and closes a gripper
    state_size: int  # S
    control_hz: float  # environment steps per second
    max_steps: int  # environment steps after which the simulator calls an episode over
    cameras: tuple[str, ...]
    default_cameras: tuple[str, ...]
    disturbances: tuple[str, ...]
    burst: float  # how large the disturbances of recorded actions are: 1 where an action is a displacement
    simulation: Callable[[str], Simulation]  # (task)
    renderer: Callable[[tuple[str, ...], int, int], Any]  # (cameras, size, supersample); has `cameras`
    hand_pixels: Callable[[str, np.ndarray, int], np.ndarray]  # (camera, states (N, S), size) -> (N, 2) column, row
    player: Callable[[Any, int, int | None], Player] | None = None  # (simulation, seed, branch), after a reset
    misled: Callable[[Any, np.random.Generator], Iterator[np.ndarray]] | None = None
    """(simulation, rng) -> actions (A,) of the expert, who believes that its object lies elsewhere; of a hand
    that actions displace, with a gripper (`mistakes.py`)"""

    def check_disturbance(self, kind: str) -> int:
        """The number of a kind of disturbance, or `UserError`."""
        if kind not in self.disturbances:
            raise UserError(f"unknown disturbance {kind!r}; choose from {', '.join(self.disturbances)}")
        return self.disturbances.index(kind)


def find_world(task: str) -> World:
    """The world a task belongs to.

    Raises:
        UserError: there is no such task, or its simulator is not installed.
    """
    name = world_name(check_task(task))
    try:
        return importlib.import_module(f"presage.worlds.{name}").WORLD
    except ModuleNotFoundError as error:
        raise UserError(
            f"task {task!r} needs {error.name}; type: pip install -c constraints.txt -e '.[{name}]'"
        ) from None


def common_world(tasks: Iterable[str], same: tuple[str, ...]) -> list[World]:
    """The worlds of several tasks, each once, which must agree in the fields `same`.

    Raises:
        UserError: they do not.
    """
    worlds: dict[str, tuple[str, World]] = {}
    for task in tasks:
        world = find_world(task)
        worlds.setdefault(world.name, (task, world))
    (first_task, first), *others = worlds.values()
    for task, world in others:
        for name in same:
            mine, theirs = getattr(first, name), getattr(world, name)
            if mine != theirs:
                what = name.replace("_", " ")
                raise UserError(f"tasks {first_task!r} and {task!r}: {what} {mine} and {theirs} do not mix; split them")
    return [world for _, world in worlds.values()]


def check_camera(camera: str, cameras: Iterable[str]) -> None:
    if camera not in cameras:
        raise UserError(f"unknown camera {camera!r}; choose from {', '.join(cameras)}")


def average(image: np.ndarray, k: int) -> np.ndarray:
    """An image (k S, k S, 3) uint8 as (S, S, 3): the rounded mean of every k x k pixels."""
    if k == 1:
        return image.copy()
    total = np.full((image.shape[0] // k, image.shape[1] // k, 3), k * k // 2, np.uint16)  # half: the division rounds
    for row in range(k):
        for column in range(k):
            total += image[row::k, column::k]
    return (total // (k * k)).astype(np.uint8)
