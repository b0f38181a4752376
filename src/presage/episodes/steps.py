"""A dataset as a model sees it: one row per model step, whatever the rate it was recorded at.

    rows      o0 a0 o1 a1 o2 a2 o3 a3 o4 a4 o5 a5 o6
    steps     o0 (a0 a1 a2)  o3 (a3 a4 a5)  o6                        chunk 3
    overlap      o1 (a1 a2 a3)  o4 ...  and  o2 (a2 a3 a4)  o5 ...    the same rows, other beginnings

The chunk of a step is executed after its frame (`o_t --a_t--> o_t+1`). A chunk that would reach past the end of its
episode, or into rows whose action was not recorded, is marked as missing; nothing is filled up with zeros.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.features import picture_size
from presage.episodes.fit import cell_size, of_proportions, squares, tile
from presage.episodes.metadata import EpisodeRecord
from presage.episodes.naming import Columns, column_names
from presage.episodes.outcome import episode_success, read_quality, row_success, with_success
from presage.episodes.robot import Robot, other_proportions
from presage.episodes.slots import Slots
from presage.episodes.video import Convert
from presage.errors import UserError

NO_INSTRUCTION = "do the task"
"""Told to the model where a dataset says nothing."""
MAX_INSTRUCTION = 200_000
"""Characters of an instruction, in training as in serving: embedding a longer one holds up everybody else's actions."""


@dataclass(frozen=True)
class _Grid:
    """Where the R steps of all episodes lie in the recorded rows."""

    episodes: list[EpisodeRecord]
    source: list[int]
    """(E,) position of the recorded episode behind each episode of steps"""
    time: np.ndarray
    """(R,) recorded row, with a fraction where rates differ, of each step's frame"""
    rows: np.ndarray
    """(R, chunk) recorded row of each action, clamped to the episode"""
    whole: np.ndarray
    """(R,) False where the chunk reaches past the end"""
    ticks: list[int]
    """(E,) actions at the robot's rate in each recorded episode"""


class Steps(Dataset):
    """The steps of a recorded dataset, itself readable like a dataset.

    Columns: `action` (R, chunk * A) and `observation.state` (R, S) where the robot has them, `quality` and
    `next.success` where they were recorded. Entries of a shared vector that this robot does not fill are NaN. Episodes
    have the fact `success` wherever it is known.

    robot: whose steps they are. longest: actions, at the robot's rate of `action_rate` per second, in the longest
    recorded episode; a step has `chunk`.
    """

    def __init__(self, dataset: Dataset, robot: Robot, slots: Slots | None = None):
        self._recorded, self.robot = dataset, robot
        self._slots = slots or Slots.alone(robot)
        grid = _lay_out(dataset, robot)
        self._grid = grid
        self.root, self.version, self.robot_type = dataset.root, dataset.version, dataset.robot_type
        self.stats, self.tasks, self.notes = dataset.stats, dataset.tasks, dataset.notes
        self.labels = dataset.labels
        self.fps = robot.steps_per_second
        success = episode_success(dataset)
        self.episodes = [with_success(e, success[i]) for e, i in zip(grid.episodes, grid.source, strict=True)]
        self.longest, self.action_rate, self.chunk = max(grid.ticks), robot.fps, robot.chunk
        self._quality, _ = read_quality(dataset)
        self.num_rows = len(grid.time)
        self.cameras = list(robot.cameras)
        self.phases = robot.chunk if robot.overlap else 1
        self.view = f"{dataset.view} {robot.cameras} {robot.fps} {robot.chunk} {robot.fit} {robot.overlap}"
        self.features = self._describe()

    def column(self, name: str) -> np.ndarray:
        """(R, ...) float32 or bool; NaN where nothing was recorded."""
        if name not in self.features:
            raise UserError(f"{self.root}: no column {name!r} in model steps; there are {', '.join(self.features)}")
        if name == "action":
            return self._actions()
        if name == "observation.state":
            return self._slots.place_state(self.robot, self._states())
        rows = row_success(self._recorded) if name == "next.success" else self._quality
        assert rows is not None
        by_chunk = rows[self._grid.rows]
        return by_chunk.any(1) if name == "next.success" else by_chunk.min(1)  # a chunk is as good as its worst row

    def recorded(self, name: str) -> np.ndarray:
        """(R,) bool: whether the whole chunk was recorded, or any row of it (`next.success`); always True for what
        belongs to a frame."""
        if name == "next.success":
            known: np.ndarray = self._recorded.recorded(name)[self._grid.rows].any(1)
            return known
        if name != "action":
            return np.ones(self.num_rows, bool)
        valid = np.ones(self._recorded.num_rows, bool)
        for feature in {part.feature for part in self.robot.action}:
            valid &= self._recorded.recorded(feature)
            if f"{feature}.valid" in self._recorded.features:
                valid &= self._recorded.column(f"{feature}.valid").reshape(-1).astype(bool)
        return valid[self._grid.rows].all(1) & self._grid.whole

    def elsewhere(self, name: str) -> Iterator[np.ndarray]:
        return self._recorded.elsewhere(name)

    def iterate_frames(
        self, episodes: Sequence[int], camera: str, convert: Convert | None = None
    ) -> Iterator[np.ndarray]:
        raise ValueError("the pictures of model steps are squares: use iterate_squares")

    def iterate_squares(self, episodes: Sequence[int], camera: str, size: int) -> Iterator[np.ndarray]:
        """The frames of steps, cropped or letterboxed, tiled where the camera stands for several."""
        sources = self.robot.cameras[camera]
        cell = cell_size(size, len(sources))
        for source, group in groupby(episodes, key=lambda episode: self._grid.source[episode]):
            parts = [next(self._recorded.iterate_frames([source], c, self._convert(source, c, cell))) for c in sources]
            whole = tile(parts, size)
            record = self._recorded.episodes[source]
            for episode in group:
                yield _pick(whole, _nearest(self._grid.time[self.episodes[episode].rows], record) - record.start)

    def _convert(self, source: int, camera: str, cell: int) -> Convert:
        """Of the pictures of a recorded episode, which are to be what info.json says."""
        size = picture_size(self._recorded.features[self._recorded.camera_features[camera]])
        where = f"{self.root}: pictures of camera {camera!r} in episode {self._recorded.episodes[source].index}"
        return of_proportions(squares(cell, self.robot.fit), size[:2], where)

    def _describe(self) -> dict[str, dict[str, object]]:
        features: dict[str, dict[str, object]] = {}
        if self.robot.action:
            width = self.robot.chunk * self._slots.action_dim
            features["action"] = {"dtype": "float32", "shape": [width], "names": None}
        if self._slots.state_dim:
            features["observation.state"] = {"dtype": "float32", "shape": [self._slots.state_dim], "names": None}
        if self._quality is not None:
            features["quality"] = {"dtype": "float32", "shape": [1], "names": None}
        if "next.success" in self._recorded.features:
            features["next.success"] = {"dtype": "bool", "shape": [1], "names": None}
        return features

    def _actions(self) -> np.ndarray:
        chunks = _gather(self._recorded, self.robot.action)[self._grid.rows]
        if any(entry >= 0 for entry in self.robot.relative):
            chunks = self.robot.to_relative(chunks, self._states())
        placed = self._slots.place_action(self.robot, chunks)
        return np.where(self.recorded("action")[:, None, None], placed, np.nan).reshape(self.num_rows, -1)

    def _states(self) -> np.ndarray:
        """(R, S): linear between the two rows around the frame's time."""
        for feature in {part.feature for part in self.robot.state}:
            missing = int((~self._recorded.recorded(feature)).sum())
            if missing:
                raise UserError(
                    f"{self.root}: {feature!r} was not recorded in {missing} of {self._recorded.num_rows} rows; leave "
                    "those episodes out (presage dataset filter) or train without it (--state none)"
                )
        states = _gather(self._recorded, self.robot.state)
        low = np.floor(self._grid.time).astype(np.int64)
        share = (self._grid.time - low)[:, None].astype(np.float32)
        high = np.minimum(low + 1, len(states) - 1)
        return np.where(share == 0, states[low], states[low] * (1 - share) + states[high] * share)


def _gather(dataset: Dataset, columns: Sequence[Columns]) -> np.ndarray:
    """(N, D) float32 of the recorded rows.

    Raises:
        UserError: the dataset has not these columns, calls them otherwise, or holds numbers that float32 cannot.
    """
    parts = [np.empty((dataset.num_rows, 0), np.float32)]
    for part in columns:
        with np.errstate(over="ignore"):
            parts.append(recorded_numbers(dataset, part).astype(np.float32))
        if np.isinf(parts[-1]).any():
            raise UserError(f"{dataset.root}: {part.feature!r} holds numbers beyond 3e38; leave those columns out")
    return np.concatenate(parts, 1)


def recorded_numbers(dataset: Dataset, part: Columns) -> np.ndarray:
    """(N, D) of the recorded rows, as they were stored.

    Raises:
        UserError: the dataset has not these columns, or calls them otherwise.
    """
    if part.feature not in dataset.features:
        raise UserError(f"{dataset.root}: no feature {part.feature!r}; it is not of the robot that was trained on")
    names = column_names(dataset.features[part.feature], part.feature)
    if max(part.numbers) >= len(names):
        raise UserError(
            f"{dataset.root}: {part.feature!r} has {len(names)} numbers, column {max(part.numbers)} is wanted; "
            "choose columns with --action and --state"
        )
    here = replace(part, names=[names[i] for i in part.numbers])
    for i, mine, told in zip(part.numbers, here.names, part.names, strict=True):
        alike = told in (mine, mine.partition("#")[0]) or told.endswith(f".{mine}")
        if here.named and part.named and not alike:
            raise UserError(
                f"{dataset.root}: column {i} of {part.feature!r} is {mine!r}, and {told!r} in the robot "
                "that was trained "
                "on; choose a dataset with its columns, or train on this one from the start"
            )
    return dataset.column(part.feature).reshape(dataset.num_rows, -1)[:, part.numbers]


def _pick(frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """frames[rows], and no copy where rows are evenly spaced: twice a long episode may not fit into memory."""
    even = slice(rows[0], rows[-1] + 1, max(1, rows[1] - rows[0]) if len(rows) > 1 else 1)
    return frames[even] if np.array_equal(np.arange(len(frames))[even], rows) else frames[rows]


def _nearest(time: np.ndarray, record: EpisodeRecord) -> np.ndarray:
    return np.minimum(np.round(time).astype(np.int64), record.start + record.length - 1)


def _check_fits(dataset: Dataset, robot: Robot) -> None:
    """Raise UserError where a camera is missing or shows other proportions, or an instruction is too long to be
    served."""
    for camera in {source for sources in robot.cameras.values() for source in sources}:
        if camera not in dataset.cameras:
            raise UserError(f"{dataset.root}: no camera {camera!r}; it has {', '.join(dataset.cameras) or 'none'}")
    for camera, (seen, trained) in other_proportions(robot, dataset).items():
        raise UserError(
            f"{dataset.root}: pictures of camera {camera!r} are {seen} (height x width), those that were trained on "
            f"{trained}; choose a dataset of those proportions, or train on this one from the start"
        )
    for record in dataset.episodes:
        if len(record.instruction) > MAX_INSTRUCTION:
            raise UserError(
                f"{dataset.root}: the instruction of episode {record.index} has {len(record.instruction)} "
                "characters, at "
                f"most {MAX_INSTRUCTION} are taken; shorten it in meta/, or leave the episode out "
                "(presage dataset filter)"
            )


def _lay_out(dataset: Dataset, robot: Robot) -> _Grid:
    """Resample every episode to the robot's rate and cut it into chunks, once for every beginning."""
    _check_fits(dataset, robot)
    pace = dataset.fps / robot.fps  # recorded rows per action
    phases = robot.chunk if robot.overlap else 1
    episodes: list[EpisodeRecord] = []
    source: list[int] = []
    times, rows, whole, length = [], [], [], list[int]()
    start = 0
    for position, record in enumerate(dataset.episodes):
        ticks = int((record.length - 1) / pace + 1e-6) + 1
        length.append(ticks)
        for phase in range(min(phases, ticks)):
            first = np.arange(phase, ticks, robot.chunk)
            chunk = first[:, None] + np.arange(robot.chunk)
            times.append(record.start + first * pace)
            rows.append(_nearest(record.start + chunk * pace, record))
            whole.append(chunk[:, -1] < ticks)
            instruction = record.instruction.strip() or NO_INSTRUCTION
            steps = replace(
                record, index=len(episodes), length=len(first), start=start, instruction=instruction, data_row=0
            )
            episodes.append(steps)
            source.append(position)
            start += len(first)
    time = np.concatenate(times)
    close = np.abs(time - np.round(time)) < 1e-6  # rates that divide: exactly on a row
    time = np.where(close, np.round(time), time)
    return _Grid(episodes, source, time, np.concatenate(rows), np.concatenate(whole), length)
