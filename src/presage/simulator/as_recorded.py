"""Dreams as rows of the robot's own dataset: its features, its rate, its commands, its pictures.

A dream has a frame a model step, each with the chunk of actions that follows. Its dataset has a row for every action:

    dream     o0 (a0 a1 a2)         o3 (a3 a4 a5)         o6
    rows      o0 a0  o0 a1  o0 a2   o3 a3  o3 a4  o3 a5

So pictures stay until the next one was dreamed, the state moves evenly in between, relative actions become commands
again, and the model reads exactly its own steps back (`episodes.steps`). The last frame has no action, so no row.

What the model knows nothing of is not made up: other features are left out, a number that it does not drive, and what
lies beside the square that it sees, stay as they were in the frame in which the dream begins. So it is with what a
policy is sent that knows the robot's own pictures, and not the model's.

Shapes: T steps of a dream, N rows, A numbers of an action, S of the state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.episode import DEFAULT_COLUMNS, Episode
from presage.episodes.features import picture_size
from presage.episodes.fit import restored, untile
from presage.episodes.naming import Columns
from presage.episodes.robot import Robot, find_robot
from presage.episodes.slots import Slots
from presage.errors import UserError
from presage.simulator.recordings import Sight
from presage.simulator.synthesis import Video, as_episode, succeeded
from presage.training.data import open_dataset
from presage.worlds.protocol import Observation, Policy
from presage.worlds.recording import RecordedWorld
from presage.worlds.rollout import episode_number

FLAGS = ("next.success", "success")
"""Columns that say, row by row, whether it has succeeded"""


@dataclass(frozen=True, eq=False)
class AsRecorded:
    """How dreams that begin in `world` are stored: like the recorded dataset behind it, whose episodes are in the same
    order. Implements `synthesis.Form`."""

    dataset: Dataset
    robot: Robot
    slots: Slots
    world: RecordedWorld

    @property
    def fps(self) -> float:
        return self.dataset.fps

    @property
    def robot_type(self) -> str | None:
        return self.dataset.robot_type

    @property
    def names(self) -> dict[str, Any]:
        return {name: feature.get("names") for name, feature in self.dataset.features.items()}

    def left_out(self) -> list[str]:
        """Features of the dataset that dreams do not have."""
        shown = {source for sources in self.robot.cameras.values() for source in sources}
        kept = {self.dataset.camera_features[source] for source in shown} | set(DEFAULT_COLUMNS) | set(FLAGS)
        kept |= {"quality", "next.done"} | {part.feature for part in (*self.robot.action, *self.robot.state)}
        return [n for n in self.dataset.features if n not in kept and n.removesuffix(".valid") not in kept]

    def episode(self, video: Video, chunks: np.ndarray, threshold: float, info: dict[str, Any]) -> Episode:
        """A labelled video, `info` of which names the task and seed that its first frame came from.

        Raises:
            UserError: actions are relative to a state that was not dreamed.
        """
        place = self.world.place(str(info["task"]), int(info["seed"]))
        if self.robot.chunked_rows:
            made = as_episode(video, chunks, threshold, info)
            columns = {name: x for name, x in made.columns.items() if name in self.dataset.features}
            steps = np.arange(video.steps + 1)
            return replace(made, frames=self._frames(video, place, steps), columns=columns)
        count, pace = video.steps * self.robot.chunk, self.dataset.fps / self.robot.fps
        rows = np.arange(int(np.ceil((count - 1) * pace - 1e-6)) + 1)
        seen = np.arange(video.steps + 1) * self.robot.chunk * pace  # the row at which each frame is seen
        step = _newest(seen[:-1], rows)
        action = self._commands(video, chunks)[_newest(np.arange(count) * pace, rows)]
        success = succeeded(video, threshold)
        reached = np.append(success[_newest(seen, rows + 1)][:-1], success[-1])
        columns = self._scattered(self.robot.action, action, place)
        if video.states.shape[1] and self.robot.state:
            own = self.slots.take_state(self.robot, video.states)
            between = np.stack([np.interp(rows, seen, number) for number in own.T], 1)
            columns |= self._scattered(self.robot.state, between, place)
        columns |= {name: self._like(name, reached) for name in FLAGS if name in self.dataset.features}
        columns |= self._facts(len(rows), bool(success[-1]))
        told = {**info, "success": bool(success[-1])}
        return Episode(self._frames(video, place, step), columns, video.instruction, told)

    def _facts(self, rows: int, success: bool) -> dict[str, np.ndarray]:
        """Columns that follow from the rest, where the dataset has them."""
        told = {"quality": np.full(rows, float(success)), "next.done": np.arange(rows) == rows - 1}
        told |= {f"{part.feature}.valid": np.ones(rows) for part in self.robot.action}
        return {name: self._like(name, values) for name, values in told.items() if name in self.dataset.features}

    def _commands(self, video: Video, chunks: np.ndarray) -> np.ndarray:
        """(T * chunk, A) from labels (T, chunk, ...) in the model's numbers."""
        own = self.slots.take_action(self.robot, chunks)
        if any(entry >= 0 for entry in self.robot.relative):
            if not video.states.shape[1]:
                raise UserError(
                    f"{self.dataset.root}: the model's actions are relative to the state, which it does not dream, so "
                    "they are no commands; train it on absolute actions"
                )
            own = self.robot.to_absolute(own, self.slots.take_state(self.robot, video.states[:-1]))
        return own.reshape(-1, own.shape[-1])

    def _scattered(self, parts: list[Columns], values: np.ndarray, place: int) -> dict[str, np.ndarray]:
        """Values (N, D) of columns as the features that they are numbers of."""
        start, out, done = self.dataset.episodes[place].start, dict[str, np.ndarray](), 0
        for part in parts:
            if part.feature not in out:
                first = self.dataset.column(part.feature)[start].reshape(-1)
                out[part.feature] = np.repeat(first[None], len(values), 0)
            out[part.feature][:, part.numbers] = values[:, done : done + len(part.numbers)]
            done += len(part.numbers)
        return {name: self._like(name, x) for name, x in out.items()}

    def _like(self, name: str, values: np.ndarray) -> np.ndarray:
        """Values of N rows in the type and shape of a feature."""
        feature = self.dataset.features[name]
        shape = tuple(feature["shape"])
        return values.reshape(len(values), *(() if shape == (1,) else shape)).astype(feature["dtype"])

    def _frames(self, video: Video, place: int, step: np.ndarray) -> dict[str, np.ndarray]:
        """Camera of the dataset -> (N, H, W, 3), with the frame of a step (N,) in each row."""
        shown = {camera: frames[: step[-1] + 1] for camera, frames in video.frames.items()}
        return {source: frames[step] for source, frames in self.pictures(shown, self.beginning(place)).items()}

    def beginning(self, place: int) -> dict[str, np.ndarray]:
        """Camera of the dataset -> (H, W, 3), with which the episode at `place` begins."""
        sources = {source for sources in self.robot.cameras.values() for source in sources}
        return {source: self.dataset.first_frame(place, source) for source in sources}

    def pictures(self, seen: Mapping[str, np.ndarray], around: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Camera of the dataset -> (T, H, W, 3), from what the model shows through its own, (T, S, S, 3). `around` is
        the recorded frame in which it began: what lies beside the square is taken from there."""
        out: dict[str, np.ndarray] = {}
        for camera, sources in self.robot.cameras.items():
            for source, cells in zip(sources, untile(seen[camera], len(sources)), strict=True):
                out[source] = np.stack([restored(cell, around[source], self.robot.fit) for cell in cells])
        return out

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Camera of the dataset -> height and width of its pictures."""
        features = {s: self.dataset.camera_features[s] for sources in self.robot.cameras.values() for s in sources}
        return {source: picture_size(self.dataset.features[name])[:2] for source, name in features.items()}

    def describe(self) -> str:
        """What a policy is sent that sees as the robot does."""
        sizes, size = self.sizes(), self.world.size
        if self.robot.chunked_rows:
            return f"pictures as the model sees them, {size} x {size}"
        told = ", ".join(f"{camera} {height} x {width}" for camera, (height, width) in sizes.items())
        said = f"pictures as they were recorded, {told} (height x width), scaled from {size} x {size} in the dream"
        beside = self.robot.fit == "crop" and any(height != width for height, width in sizes.values())
        return said + ("; what lies beside that square stays as in the first frame" if beside else "")


class SentAsRecorded:
    """A `Policy` that is sent the robot's own pictures in dreams, as the dataset has them: a policy server, which never
    saw the model's squares. Those of worlds that presage recorded by itself are what their policies see.

    Args:
        policy: sees `image.<camera of the dataset>` (N, H, W, 3), and all else as it is.
        form: of the dreams.
        tasks: of every episode that will be asked about.
        seeds: of each of them; task and seed name the recorded frame in which it begins.
    """

    def __init__(self, policy: Policy, form: AsRecorded, tasks: Sequence[str], seeds: Sequence[int]) -> None:
        self.policy, self.form = policy, form
        begins = {each: form.world.place(*each) for each in zip(tasks, seeds, strict=True)}
        self._places = {episode_number(*each): place for each, place in begins.items()}
        self._around: dict[int, dict[str, np.ndarray]] = {}
        """Of the episodes since the last reset: whole pictures of all would fill the memory"""

    def reset(self, instructions: list[str]) -> None:
        self._around = {}
        self.policy.reset(instructions)

    def act(self, observation: Observation) -> np.ndarray:
        if self.form.robot.chunked_rows:
            return self.policy.act(observation)
        cameras, rows = self.form.robot.cameras, list[dict[str, np.ndarray]]()
        for row, episode in enumerate(observation["episode"].tolist()):
            if episode not in self._around:
                self._around[episode] = self.form.beginning(self._places[episode])
            seen = {camera: observation[f"image.{camera}"][row, None] for camera in cameras}
            rows.append(self.form.pictures(seen, self._around[episode]))
        whole = {f"image.{source}": np.concatenate([row[source] for row in rows]) for source in rows[0]}
        rest = {name: x for name, x in observation.items() if not name.startswith("image.")}
        return self.policy.act({**whole, **rest})


def _newest(begins: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(N,) which of what begins nearest to the given rows, in order, is the newest one at each row."""
    return np.searchsorted(np.round(begins), rows, side="right") - 1


def as_recorded(sight: Sight, data: Path, world: RecordedWorld) -> AsRecorded:
    """How dreams of the model of `sight` that begin in recordings of `data` are stored."""
    dataset = open_dataset(data, world.recording.numbers)
    return AsRecorded(dataset, replace(find_robot(sight.robots, dataset), overlap=False), sight.slots, world)
