"""What was driven, as a LeRobot dataset that `presage train` takes at once.

A recording follows the branch: what was rewound is taken out of it again. Whatever is not the robot's own doing (a
reset, a knock, grounding) ends an episode and begins the next one, because no action led from the frame before to the
one after.
"""

import itertools
from pathlib import Path
from typing import Literal

import numpy as np

from presage.episodes.episode import Episode, InfoValue
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset
from presage.errors import UserError
from presage.interface.play.dream import Row

MAX_ROWS = 1500
"""Rows of one recording, five minutes of robot time: it is held in memory until it is written."""
Source = Literal["imagined", "real"]
Facts = dict[str, InfoValue]


class Recording:
    """Rows as they come, sorted into episodes.

    Args:
        source: whose frames, state and success are recorded, the dream's or the simulator's.
        good: whether the driving is worth imitating; otherwise only what happened is learned from it.
        facts: what the episodes are of, besides.
        instruction: what the robot was told.
    """

    def __init__(self, source: Source, good: bool, first: Row, facts: Facts, instruction: str) -> None:
        if source == "real" and first.real is None:
            raise UserError("nothing is beside this dream any more: record the imagined frames")
        self.source, self.good = source, good
        self.rows: list[Row] = []
        self.episodes: list[Episode] = []
        self.begin(first, facts, instruction)

    @property
    def length(self) -> int:
        return len(self.rows) + sum(episode.length for episode in self.episodes)

    def add(self, row: Row) -> None:
        """The row that was just come to; its parent may lie further back."""
        self.back_to(row.parent)
        if row.chunk is None or not self.rows:
            self.begin(row, self.facts, self.instruction)
        else:
            self.rows.append(row)

    def back_to(self, number: int | None) -> None:
        """Take out what came after a row; one that is not part of the episode leaves it as it is, finished."""
        numbers = [row.number for row in self.rows]
        if number in numbers:
            del self.rows[numbers.index(number) + 1 :]
        else:
            self._finish()

    def begin(self, row: Row, facts: Facts, instruction: str) -> None:
        """End the episode and begin the next one with `row`."""
        self._finish()
        self.facts, self.instruction = facts, instruction
        if self.source == "imagined" or row.real is not None:
            self.rows = [row]

    def stop(self, number: int) -> None:
        """End the recording at the moment that is shown."""
        self.back_to(number)
        self._finish()

    def _finish(self) -> None:
        if len(self.rows) > 1:  # a lone frame has no action
            self.episodes.append(self._episode())
        self.rows = []

    def _episode(self) -> Episode:
        """The columns of `presage collect`: row t has the frame and the chunk executed after it, the last one none."""
        rows, later = self.rows, self.rows[1:] + self.rows[-1:]
        imagined = self.source == "imagined"
        seen = [row.imagined if imagined else row.real or {} for row in rows]
        chunks = [row.chunk for row in self.rows[1:] if row.chunk is not None]
        actions = np.stack([*chunks, np.zeros_like(chunks[0])]).reshape(len(rows), -1)
        valid = np.arange(len(rows)) < len(rows) - 1
        success = np.array([row.reached if imagined else row.success for row in later])
        columns = {
            "action": actions,
            "action.valid": valid,
            "quality": (valid & self.good).astype(np.float32),
            "next.success": success,
        }
        if "state" in seen[0]:
            columns["observation.state"] = np.concatenate([each["state"] for each in seen]).astype(np.float32)
        drivers = {row.driver for row in self.rows[1:]}
        info = {
            **self.facts,
            "behaviour": "play",
            "frames": self.source,
            "driver": " and ".join(sorted(drivers)),
            "success": bool(success.any()),
        }
        cameras = [name for name in seen[0] if name.startswith("image.")]
        frames = {name.removeprefix("image."): np.concatenate([each[name] for each in seen]) for name in cameras}
        return Episode(frames, columns, self.instruction, info)

    def write(self, folder: Path, fps: float, robot_type: str) -> Path:
        """Write what was recorded until `stop` as the next free dataset `folder`/0001, 0002, ... and return its name.

        Raises:
            UserError: nothing was driven, or the folder cannot be written.
        """
        if not self.episodes:
            raise UserError("nothing was recorded: drive between start and stop")
        names = (folder / f"{number:04d}" for number in itertools.count(1))
        root = next(name for name in names if not name.exists() and not name.with_name(f"{name.name}.partial").exists())
        spool = root.with_name(f"{root.name}.partial")
        for number, episode in enumerate(self.episodes):
            spool_episode(spool, f"{number:04d}", episode, fps)
        return write_dataset(spool, root, fps=fps, robot_type=robot_type)
