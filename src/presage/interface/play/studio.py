"""What all players share: the model, and what their dreams begin from and are compared with.

Here that is one simulation of every task; in `recorded.py` it is a recording. Everything that computes runs in one
thread. OpenGL binds to the thread that draws first, and two models that compute at once on two cores would only slow
each other down.
"""

from typing import Any, Protocol

import numpy as np

from presage.errors import UserError
from presage.networks.robot import RobotModel
from presage.worlds.instructions import MT10, instructions
from presage.worlds.protocol import Observation
from presage.worlds.seeds import FIRST_DREAM_SEED, FIRST_TRAINING_SEED
from presage.worlds.vector import Slots, View
from presage.worlds.wordings import WORLDS
from presage.worlds.world import World, find_world

SUPERSAMPLE = 2
"""As recorded datasets have it."""

UNCALIBRATED = 0.9
"""Predicted value that passes for success where nothing better is known."""

OPENS = {"fetch"}
"""Worlds whose gripper opens with 1; others, like Meta-World, close it."""

Beginning = tuple[Observation, str, bool]
"""What a dream begins from: one observation, what the robot is told, and whether it has succeeded already"""


class Stage(Protocol):
    """What dreams begin from, and what is beside them. A slot is a player's; A numbers are an action."""

    model: RobotModel
    use: str
    """How the model drives when it is asked to"""
    threshold: float
    """Predicted value above which an imagined frame shows success"""
    players: int
    """Dreams at a time"""
    recordings: int
    """Datasets written"""
    recorded: bool
    """What is beside a dream was recorded; else it is simulated"""

    @property
    def robot(self) -> str:
        """Of the datasets that players record"""
        ...

    @property
    def tasks(self) -> list[str]:
        """That a player may choose"""
        ...

    def begin(self, slot: int, scene: int) -> tuple[Beginning, str, int]:
        """Where a new player begins, and its task and scene."""
        ...

    def reset(self, slot: int, task: str, scene: int) -> Beginning: ...

    def start(self, slot: int, episode: int, row: int) -> tuple[Beginning, str]:
        """A recorded frame, and its task.

        Raises:
            UserError: there is none.
        """
        ...

    def step(self, slot: int, chunk: np.ndarray) -> tuple[Observation | None, bool]:
        """What is beside the dream after a chunk (chunk, A), and whether it has succeeded; None: it has ended."""
        ...

    def held(self, action: np.ndarray) -> np.ndarray:
        """(chunk, A) what a person means who holds controls (A,) between -1 and 1."""
        ...

    def bounded(self, chunk: np.ndarray) -> np.ndarray:
        """(chunk, A) as the robot can do it."""
        ...

    def recorded_chunk(self, slot: int) -> np.ndarray:
        """(chunk, A) what was done next.

        Raises:
            UserError: nobody recorded that.
        """
        ...

    def snapshot(self, slot: int) -> Any: ...

    def restore(self, slot: int, snapshot: Any) -> None: ...

    def disturb(self, slot: int, kind: str, seed: int) -> tuple[Observation, bool]:
        """Raises:
        UserError: nothing can be disturbed so.
        """
        ...

    def facts(self, task: str, scene: int) -> dict[str, str | int]:
        """Of an episode that a player records.

        Raises:
            UserError: nothing is recorded there.
        """
        ...

    def where(self, slot: int) -> dict[str, Any]:
        """What a page shows of where it stands."""
        ...

    def greeting(self, state: np.ndarray | None) -> dict[str, Any]:
        """What a page has to know of it. state: of the robot (S,), where the model sees it."""
        ...


class Studio:
    """Players in a simulator: a `Stage`.

    `slots` has one environment per player: environments of a task share its simulation, and whoever is stepped loads
    its own state first, bitwise, so players cannot disturb each other and memory does not grow with them.

    Args:
        model: of `systems.checkpoint.load_for`.
        task: where a new player starts.
    """

    recorded = False

    def __init__(
        self, model: RobotModel, task: str, use: str = "joint", threshold: float = UNCALIBRATED, players: int = 4
    ) -> None:
        self.model, self.task, self.use, self.threshold, self.players = model, task, use, threshold, players
        self.recordings = 0
        self.slots = Slots(players, View(tuple(model.cameras), model.size, SUPERSAMPLE, show_goal=True))

    @property
    def world(self) -> World:
        return find_world(self.task)

    @property
    def robot(self) -> str:
        return self.world.robot

    @property
    def close(self) -> float:
        """The last action that closes the gripper."""
        return -1.0 if self.world.name in OPENS else 1.0

    @property
    def tasks(self) -> list[str]:
        """Of Meta-World the ten that models are trained on, of other worlds all."""
        own = MT10 if self.world.name == "metaworld" else list(WORLDS[self.world.name])
        return own if self.task in own else [self.task, *own]

    def begin(self, slot: int, scene: int) -> tuple[Beginning, str, int]:
        """Scenes of new players are counted from the first one that may be recorded."""
        scene = FIRST_TRAINING_SEED + scene % (FIRST_DREAM_SEED - FIRST_TRAINING_SEED)
        return self.reset(slot, self.task, scene), self.task, scene

    def reset(self, slot: int, task: str, scene: int) -> Beginning:
        """An episode's first frame.

        Raises:
            UserError: there is no such task in this world.
        """
        if task not in self.tasks:
            raise UserError(f"task {task!r} is not played here; choose from {', '.join(self.tasks)}")
        observation, success = self.slots.reset([slot], [task], [scene])
        return observation, instructions(task)[0], bool(success[0])

    def start(self, slot: int, episode: int, row: int) -> tuple[Beginning, str]:
        raise UserError("there is no recording to start from: start presage play with --data DIR")

    def step(self, slot: int, chunk: np.ndarray) -> tuple[Observation | None, bool]:
        observation, success, _, _ = self.slots.step([slot], chunk[None])
        return observation, bool(success[0])

    def held(self, action: np.ndarray) -> np.ndarray:
        return np.repeat(action[None].astype(np.float32), self.model.chunk_shape[0], 0)

    def bounded(self, chunk: np.ndarray) -> np.ndarray:
        return np.clip(chunk, -1.0, 1.0)

    def recorded_chunk(self, slot: int) -> np.ndarray:
        raise UserError("there is no recording to follow: start presage play with --data DIR")

    def snapshot(self, slot: int) -> Any:
        return self.slots.snapshot([slot])[0]

    def restore(self, slot: int, snapshot: Any) -> None:
        self.slots.restore([slot], [snapshot])

    def disturb(self, slot: int, kind: str, seed: int) -> tuple[Observation, bool]:
        observation, success = self.slots.disturb([slot], kind, seed)
        return observation, bool(success[0])

    def facts(self, task: str, scene: int) -> dict[str, str | int]:
        if scene < FIRST_TRAINING_SEED:
            raise UserError(f"scene {scene} is kept for evaluation: record in scenes from {FIRST_TRAINING_SEED} on")
        return {"task": task, "seed": scene}

    def where(self, slot: int) -> dict[str, Any]:
        return {}

    def greeting(self, state: np.ndarray | None) -> dict[str, Any]:
        world, cameras = self.world, self.model.cameras
        state = np.zeros(world.state_size) if state is None else state
        return {
            "beside": "simulator",
            "gripper": world.gripper,
            "close": self.close,
            "steering": {c: steering(world, c, state, self.model.size) for c in cameras},
            "disturbances": list(world.disturbances),
            "episodes": [],
            "sliders": [],
        }


def steering(world: World, camera: str, state: np.ndarray, size: int) -> list[list[float]]:
    """How to move what is driven to the right and upwards in a camera's picture: two horizontal actions (x, y).

    Arrow keys should mean what is seen, and cameras look from every side. The picture's motion is linear in the action
    to first order, so its 2 x 2 matrix is inverted; each direction is scaled to full speed.
    """
    step = 0.05 * np.maximum(1.0, np.abs(state[:2]))
    here = world.hand_pixels(camera, state[None], size)[0]
    columns = []
    for axis in range(2):
        moved = state.copy()
        moved[axis] += step[axis]
        columns.append((world.hand_pixels(camera, moved[None], size)[0] - here) / step[axis])
    matrix = np.stack(columns, 1)
    if abs(np.linalg.det(matrix)) < 1e-9 * max(1.0, np.abs(matrix).max() ** 2):
        return [[1.0, 0.0], [0.0, 1.0]]
    directions = np.linalg.inv(matrix) @ np.array([[1.0, 0.0], [0.0, -1.0]])  # rows of a picture count downwards
    return [(d / np.abs(d).max()).round(3).tolist() for d in directions.T]
