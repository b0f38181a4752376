"""What all players share: the model, one simulation of every task, and the recorded frames a dream may start from.

Everything here that computes runs in one thread. OpenGL binds to the thread that draws first, and two models that
compute at once on two cores would only slow each other down.
"""

from pathlib import Path

import numpy as np

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.networks.robot import RobotModel
from presage.worlds.instructions import MT10
from presage.worlds.protocol import Observation
from presage.worlds.vector import Slots, View
from presage.worlds.wordings import WORLDS
from presage.worlds.world import World, find_world

SUPERSAMPLE = 2
"""As recorded datasets have it."""

UNCALIBRATED = 0.9
"""Predicted value that passes for success where nothing better is known."""

OPENS = {"fetch"}
"""Worlds whose gripper opens with 1; others, like Meta-World, close it."""


class Studio:
    """Shared by all dreams.

    `slots` has one environment per player: environments of a task share its simulation, and whoever is stepped loads
    its own state first, bitwise, so players cannot disturb each other and memory does not grow with them.

    Args:
        model: of `systems.checkpoint.load_for`.
        task: where a new player starts.
        use: how the model drives when it is asked to.
        threshold: predicted value above which an imagined frame shows success.
        players: dreams at a time.
        data: recorded frames to start from.
    """

    def __init__(
        self,
        model: RobotModel,
        task: str,
        use: str = "joint",
        threshold: float = UNCALIBRATED,
        players: int = 4,
        data: Dataset | None = None,
    ) -> None:
        self.model, self.task, self.use, self.threshold, self.players, self.data = (
            model,
            task,
            use,
            threshold,
            players,
            data,
        )
        self.recordings = 0
        """Datasets written."""
        self.slots = Slots(players, View(tuple(model.cameras), model.size, SUPERSAMPLE, show_goal=True))

    @property
    def world(self) -> World:
        return find_world(self.task)

    @property
    def close(self) -> float:
        """The last action that closes the gripper."""
        return -1.0 if self.world.name in OPENS else 1.0

    @property
    def tasks(self) -> list[str]:
        """Tasks a player may choose: of Meta-World the ten that models are trained on, of other worlds all."""
        own = MT10 if self.world.name == "metaworld" else list(WORLDS[self.world.name])
        return own if self.task in own else [self.task, *own]

    def recorded(self, episode: int, frame: int) -> tuple[Observation, str]:
        """(one observation, instruction) of a frame of the episode of that number, as the model sees it.

        Raises:
            UserError: there is no dataset, no such frame, or its video is damaged.
        """
        if self.data is None:
            raise UserError("there is no dataset to start from: start presage play with --data DIR")
        numbers = [record.index for record in self.data.episodes]
        if episode not in numbers:
            raise UserError(
                f"episode {episode}: the dataset has {f'{numbers[0]} to {numbers[-1]}' if numbers else 'none'}"
            )
        place, model = numbers.index(episode), self.model
        record = self.data.episodes[place]
        if not 0 <= frame < record.length:
            raise UserError(f"frame {frame}: episode {episode} has frames 0 to {record.length - 1}")
        observation = {
            f"image.{camera}": next(self.data.iterate_squares([place], camera, model.size))[frame][None]
            for camera in model.cameras
        }
        if model.state_dim:
            row = record.start + frame
            observation["state"] = self.data.column("observation.state")[row : row + 1].astype(np.float32)
        return observation, record.instruction


def open_data(folder: Path, model: RobotModel) -> Dataset:
    """A dataset whose frames the model can start from.

    Raises:
        UserError: it is damaged, or lacks a camera or the state that the model sees.
    """
    dataset = Dataset(folder)
    missing = [camera for camera in model.cameras if camera not in dataset.cameras]
    if missing:
        raise UserError(
            f"{folder}: no camera {missing[0]!r}, which the model sees; it has {', '.join(dataset.cameras)}"
        )
    if model.state_dim:
        found = dataset.features.get("observation.state", {}).get("shape")
        if found != [model.state_dim]:
            raise UserError(f"{folder}: observation.state is {found}, the model needs [{model.state_dim}]")
    return dataset


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
