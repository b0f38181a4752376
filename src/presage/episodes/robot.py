"""What a model has to know of a robot to train on its datasets and to act with it, as one frozen description.

It follows from info.json (`Robot.from_dataset`) and every field can be said otherwise. Columns are named like this:

    observation.state            all numbers of a feature
    action:0-5,7                 some of them, by number
    action:left_elbow,left_grip  some of them, by name
    action:0-6@arm               in the slot `arm` of a vector that several robots share (`slots.py`)

It is kept in a checkpoint's config.json, so that whoever acts with the model knows which numbers to feed and to send.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.features import picture_size
from presage.episodes.fit import Fit, as_recorded, cell_size, same_proportions, squares, tile
from presage.episodes.naming import (
    Columns,
    column_names,
    find_grippers,
    look_alikes,
    parse_columns,
    parse_numbers,
    told_apart,
)
from presage.errors import UserError

STEPS_PER_SECOND = 5
"""Model steps per second that the default chunk aims at; what the shipped model was tuned for."""
CHUNKED_ROBOT = "sawyer"
"""Robot of presage's recordings of Meta-World."""
CHUNKED_ROBOTS = (CHUNKED_ROBOT, "pusht", "fetch")
"""Robots of presage's own recordings, whose rows hold a whole chunk already."""


@dataclass(frozen=True)
class Robot:
    """One robot, and how its recordings become model steps.

    A is the number of its action columns, S that of its state columns.
    """

    name: str
    cameras: dict[str, list[str]]
    """Camera of the model -> cameras of the dataset; several are tiled into one square."""
    action: list[Columns]
    state: list[Columns]
    fps: float
    """Actions per second; rows recorded at another rate are resampled to it."""
    chunk: int
    """Actions between two frames of the model, so that it makes fps / chunk steps per second."""
    relative: list[int] = field(default_factory=list)
    """(A,) the entry of the state that each action is relative to, -1 where it is absolute; empty: all are absolute."""
    gripper: list[int] = field(default_factory=list)
    """Entries of the action that open and close a gripper, as names and values tell (`naming.find_grippers`)."""
    fit: Fit = "crop"
    overlap: bool = True
    """Chunks begin at every row of the recording, not at every chunk-th alone: all frames are used."""
    chunked_rows: bool = False
    """The rows of its datasets hold a whole chunk already (presage's own recordings): nothing is regrouped."""
    recorded: dict[str, list[int]] = field(default_factory=dict)
    """Camera of the dataset -> height and width of its pictures; empty: not known."""
    instructed: bool = True
    """Whether any of its episodes has an instruction."""

    @staticmethod
    def from_dataset(
        dataset: Dataset,
        cameras: Sequence[str] = (),
        action: Sequence[str] = (),
        state: Sequence[str] = (),
        relative: Sequence[str] = (),
        fps: float | None = None,
        chunk: int | None = None,
        fit: Fit = "crop",
        overlap: bool = True,
    ) -> "Robot":
        """The robot that recorded a dataset; every argument overrides what info.json suggests. Reads the action's
        column.

        cameras: `wrist`, `eye=cam_high` (another name) or `all=cam_high+cam_left` (tiled). action, state: columns (see
        above), `none` for none. relative: names or numbers of action columns, `all` for all but grippers.

        Raises:
            UserError: a name does not exist, or nothing of it fits.
        """
        chosen_action = _choose_columns(dataset, "action", action, "action")
        chosen_state = _choose_columns(dataset, "observation.state", state, "state")
        fps = dataset.fps if fps is None else fps
        if not (math.isfinite(fps) and fps > 0):
            raise UserError(f"--fps {fps}: give a positive number")
        chunk = max(1, round(fps / STEPS_PER_SECOND)) if chunk is None else chunk
        if chunk < 1:
            raise UserError(f"--chunk {chunk}: give at least 1")
        gripper = _find_grippers(dataset, chosen_action)
        chosen_cameras = _choose_cameras(dataset, cameras)
        seen = {source: dataset.camera_features[source] for sources in chosen_cameras.values() for source in sources}
        return Robot(
            name=dataset.robot_type or dataset.root.resolve().name,
            cameras=chosen_cameras,
            action=chosen_action,
            state=chosen_state,
            fps=fps,
            chunk=chunk,
            relative=_find_relative(chosen_action, chosen_state, gripper, relative, dataset.root),
            gripper=gripper,
            fit=fit,
            overlap=overlap,
            recorded={source: list(picture_size(dataset.features[name])[:2]) for source, name in seen.items()},
            instructed=any(episode.instruction.strip() for episode in dataset.episodes),
        )

    @staticmethod
    def of_chunked_rows(
        cameras: Sequence[str],
        chunk: int,
        action: int,
        state: int,
        steps_per_second: float,
        name: str = CHUNKED_ROBOT,
    ) -> "Robot":
        """The robot behind rows that hold a chunk each: `chunk` times `action` numbers, `state` numbers of state."""
        return Robot(
            name=name,
            cameras={camera: [camera] for camera in cameras},
            action=[_numbered("action", action)],
            state=[_numbered("observation.state", state)] if state else [],
            fps=steps_per_second * chunk,
            chunk=chunk,
            overlap=False,
            chunked_rows=True,
        )

    @staticmethod
    def all_from_config(config: dict[str, Any], where: Path) -> "list[Robot]":
        """The robots in a checkpoint's config.json, that of its first dataset first. A checkpoint that describes none
        was trained on rows that hold chunks.

        Raises:
            UserError: a description is not one.
        """
        if "robots" not in config:
            model = config["model"]
            shape = (model["cameras"], model["chunk"], model["action_dim"], model["state_dim"], model["fps"])
            return [Robot.of_chunked_rows(*shape)]
        try:
            return [
                Robot(**{**fields, **{k: [Columns(**part) for part in fields[k]] for k in ("action", "state")}})
                for fields in config["robots"]
            ]
        except (TypeError, KeyError, ValueError) as error:
            raise UserError(f"{where}: field 'robots' does not fit ({error}); retrain or fetch it again") from None

    def to_config(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)

    @property
    def action_names(self) -> list[str]:
        return _names(self.action)

    @property
    def state_names(self) -> list[str]:
        return _names(self.state)

    @property
    def steps_per_second(self) -> float:
        return self.fps / self.chunk

    def pictures(self, images: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
        """What the model sees: pictures (H, W, 3) uint8 by the dataset's camera -> (size, size, 3) by the model's.
        Black bars around what training saw without them are cut off.

        Raises:
            UserError: a camera is missing, or its pictures have other proportions than the recorded ones.
        """
        seen = {}
        for camera, sources in self.cameras.items():
            missing = [source for source in sources if source not in images]
            if missing:
                raise UserError(f"no picture of camera {missing[0]!r}; there are {', '.join(images) or 'none'}")
            convert = squares(cell_size(size, len(sources)), self.fit)
            shown = [as_recorded(images[source], self.recorded.get(source), source) for source in sources]
            seen[camera] = tile([convert(image) for image in shown], size)
        return seen

    def to_absolute(self, chunk: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Commands (..., chunk, A) from a predicted chunk and the state (..., S) seen before it."""
        return chunk + self._offset(state)

    def to_relative(self, chunk: np.ndarray, state: np.ndarray) -> np.ndarray:
        """The inverse of `to_absolute`: what the model is taught."""
        return chunk - self._offset(state)

    def _offset(self, state: np.ndarray) -> np.ndarray:
        """(..., 1, A), or 0 where every action is absolute."""
        if not any(entry >= 0 for entry in self.relative):
            return np.zeros(1, np.float32)
        entries = np.array(self.relative)
        return np.where(entries >= 0, state[..., None, np.maximum(entries, 0)], 0.0).astype(np.float32)


def united(robots: Sequence[Robot]) -> list[Robot]:
    """Recordings of one robot that differ in the size of their pictures, not in their proportions, or in whether
    somebody said what is done, are of one description."""
    out: list[Robot] = []
    for robot in robots:
        for known in out:
            scaled = all(same_proportions(known.recorded.get(c, size), size) for c, size in robot.recorded.items())
            same = replace(robot, recorded=known.recorded, instructed=known.instructed) == known
            if same and scaled:
                robot = known
                break
        out.append(robot)
    told = {robot.name for robot in robots if robot.instructed}
    return [replace(robot, instructed=robot.name in told) for robot in out]


def holds_chunks(dataset: Dataset) -> bool:
    """Whether rows are model steps already: presage's own recordings of a world."""
    return dataset.robot_type in CHUNKED_ROBOTS and "action.valid" in dataset.features


def other_proportions(robot: Robot, dataset: Dataset) -> dict[str, tuple[str, str]]:
    """Cameras whose pictures have other proportions in a dataset than in what the robot recorded -> both sizes as
    text."""
    found = {}
    for camera, size in robot.recorded.items():
        seen = picture_size(dataset.features[dataset.camera_features[camera]]) if camera in dataset.cameras else size
        if not same_proportions(seen[:2], size):
            found[camera] = (f"{seen[0]} x {seen[1]}", f"{size[0]} x {size[1]}")
    return found


def find_robot(known: Sequence[Robot], dataset: Dataset) -> Robot:
    """The robot of a checkpoint that recorded a dataset: the one of its name, and of several with that name one whose
    pictures have its proportions; or the only one there is.

    Raises:
        UserError: it may be any of several.
    """
    name = dataset.robot_type or dataset.root.resolve().name
    alike = [robot for robot in known if robot.name == name]
    found = next((robot for robot in alike if not other_proportions(robot, dataset)), alike[0] if alike else None)
    if found is None and len(known) > 1:
        names = ", ".join(robot.name for robot in known)
        raise UserError(
            f"{dataset.root}: robot {name!r} is none of the checkpoint's ({names}); correct robot_type in info.json"
        )
    return found or known[0]


def _names(columns: Sequence[Columns]) -> list[str]:
    return [name for part in columns for name in part.names]


def _numbered(feature: str, size: int) -> Columns:
    return Columns(feature, list(range(size)), [f"{feature}[{i}]" for i in range(size)])


def _choose_cameras(dataset: Dataset, wanted: Sequence[str]) -> dict[str, list[str]]:
    chosen: dict[str, list[str]] = {}
    for text in wanted or dataset.cameras:
        name, _, sources = text.rpartition("=") if text not in dataset.cameras else ("", "", text)
        parts = [sources] if sources in dataset.cameras else sources.split("+")
        for part in parts:
            if part not in dataset.cameras:
                raise UserError(f"{dataset.root}: no camera {part!r}; it has {', '.join(dataset.cameras) or 'none'}")
        name = name or "-".join(parts)
        if not re.fullmatch(r"[A-Za-z0-9_.\-]+", name) or name in chosen:
            raise UserError(f"camera name {name!r} is taken or not allowed; write NAME=CAMERA with another name")
        chosen[name] = parts
    if not chosen:
        raise UserError(f"{dataset.root}: no camera; a video world model needs at least one")
    return chosen


def _choose_columns(dataset: Dataset, standard: str, wanted: Sequence[str], what: str) -> list[Columns]:
    """Columns that are asked for; by default the feature that LeRobot reserves for them. A robot may have no state, but
    that it has no action is said by a person alone."""
    if list(wanted) == ["none"]:
        return []
    if not wanted and standard not in dataset.features:
        if what == "state":
            return []
        alike = look_alikes(dataset, what)
        raise UserError(
            f"{dataset.root}: no column {standard!r}, and a policy is taught by it; "
            + (f"{', '.join(alike)} may be one: give --action {alike[0]}, " if alike else "name one with --action, ")
            + "or --action none to learn from the video alone"
        )
    parts = [parse_columns(dataset, text) for text in wanted or [standard]]
    try:
        return told_apart(parts, standard)
    except UserError as error:
        raise UserError(f"{dataset.root}: --{what}: {error}") from None


def _find_grippers(dataset: Dataset, columns: Sequence[Columns]) -> list[int]:
    """Entries of the action that open and close a gripper."""
    found: list[bool] = []
    for part in columns:
        values = dataset.column(part.feature).reshape(dataset.num_rows, -1)[dataset.recorded(part.feature)]
        grippers = find_grippers(column_names(dataset.features[part.feature], part.feature), values)
        found += [grippers[i] for i in part.numbers]
    return [i for i, is_gripper in enumerate(found) if is_gripper]


def _find_relative(
    action: Sequence[Columns], state: Sequence[Columns], gripper: list[int], wanted: Sequence[str], root: Path
) -> list[int]:
    """For every action the entry of the state that it is relative to: the one of its name, or of its place where the
    dataset names no columns."""
    if not wanted:
        return []
    names, states = _names(action), _names(state)
    if list(wanted) == ["all"]:
        chosen = [i for i in range(len(names)) if i not in gripper]
    else:
        chosen = [i for text in wanted for i in parse_numbers(text, names, f"{root}: --relative")]
    named = any(part.named for part in action) and any(part.named for part in state)
    entries = [-1] * len(names)
    for i in chosen:
        if names[i] in states:
            entries[i] = states.index(names[i])
        elif len(names) == len(states) and not named:
            entries[i] = i
        else:
            raise UserError(
                f"{root}: action {names[i]!r} has no state column of its name to be relative to, among "
                f"{', '.join(states) or 'none'}; choose columns with --action, --state and --relative"
            )
    return entries
