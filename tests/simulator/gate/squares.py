"""A recording in which actions move a square, and models of it: one that listens by construction, and those that the
gate has to find out."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.episode import Episode
from presage.episodes.robot import Robot
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset
from presage.simulator.recordings import recording_of_robot
from presage.worlds.recording import Recording

SIZE, SIDE, SPEED = 32, 8, 2.0
COLOUR = (230, 60, 120)


def picture(place: np.ndarray) -> np.ndarray:
    """(S, S, 3) of a square at (row, column)."""
    frame = np.full((SIZE, SIZE, 3), 70, np.uint8)
    y, x = np.clip(np.round(place), 0, SIZE - SIDE).astype(int)
    frame[y : y + SIDE, x : x + SIDE] = COLOUR
    return frame


def write_squares(
    root: Path, episodes: int = 24, rows: int = 20, cameras: tuple[str, ...] = ("front",), same: bool = False
) -> Path:
    """A dataset of 5 rows a second, whose action (2,) is the way of the square in the next row. Each episode keeps its
    direction for four rows at a time; `same`: all episodes do the same."""
    spool = root.with_name(f"{root.name}.partial")
    for e in range(episodes):
        rng = np.random.default_rng(0 if same else e)
        action = np.repeat(rng.uniform(-1, 1, (-(-rows // 4), 2)), 4, 0)[:rows].astype(np.float32)
        place = np.empty((rows, 2), np.float32)
        place[0] = rng.uniform(4, SIZE - SIDE - 4, 2)
        for t in range(1, rows):
            place[t] = np.clip(place[t - 1] + SPEED * action[t - 1], 0, SIZE - SIDE)
        film = np.stack([picture(p) for p in place])
        columns = {"action": action, "observation.state": place, "next.success": np.arange(rows) == rows - 1}
        facts = {"success": e % 2 == 0, "task": "push" if e % 3 else "pull"}
        if e % 2:
            columns["next.success"] = np.zeros(rows, bool)
        spool_episode(spool, f"{e:06d}", Episode(dict.fromkeys(cameras, film), columns, "move", facts), 5)
    return write_dataset(spool, root, fps=5, robot_type="square")


def recording(root: Path, episodes: list[int] | None = None, chunk: int = 1) -> Recording:
    dataset = Dataset(root, episodes)
    return recording_of_robot(Robot.from_dataset(dataset, chunk=chunk), dataset, SIZE)


class Copies:
    """Shows the last frame for ever."""

    def start(self, frames: Mapping[str, np.ndarray], instruction: str) -> None:
        self.now = {camera: seen[-1] for camera, seen in frames.items()}
        bright = np.argwhere(next(iter(self.now.values()))[..., 0] > 150)
        self.place = bright.mean(0) - (SIDE - 1) / 2

    def step(self, actions: np.ndarray) -> dict[str, np.ndarray]:
        return self.now


class Listens(Copies):
    """Moves the square as it is told."""

    def step(self, actions: np.ndarray) -> dict[str, np.ndarray]:
        for action in actions:
            self.place = np.clip(self.place + SPEED * action, 0, SIZE - SIDE)
        return dict.fromkeys(self.now, picture(self.place))


class Deaf(Listens):
    """Knows that squares go to the middle, whatever they are told: all that can be learned from shuffled actions."""

    def step(self, actions: np.ndarray) -> dict[str, np.ndarray]:
        return super().step(np.tanh((SIZE - SIDE) / 2 - self.place)[None] / 4)


class Random(Copies):
    """A network of random weights, which hears everything and understands nothing."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.read, self.told = rng.normal(size=(SIZE * SIZE * 3, 8)) / 50, rng.normal(size=(2, 8))
        self.write = rng.normal(size=(8, SIZE * SIZE * 3)) * 20

    def step(self, actions: np.ndarray) -> dict[str, np.ndarray]:
        seen = next(iter(self.now.values())).reshape(-1) / 127.5 - 1
        hidden = np.tanh(seen @ self.read + actions.sum(0) @ self.told)
        frame = np.clip(127 + hidden @ self.write, 0, 255).astype(np.uint8).reshape(SIZE, SIZE, 3)
        self.now = dict.fromkeys(self.now, frame)
        return self.now
