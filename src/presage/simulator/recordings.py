"""A dataset as a model sees it: through its cameras, in its steps and numbers, without the episodes it was trained on.

Shapes: E episodes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.labels import require_used
from presage.episodes.marks import among, episode_marks
from presage.episodes.robot import Robot, find_robot
from presage.episodes.slots import Slots
from presage.episodes.steps import Steps
from presage.errors import UserError
from presage.training.checkpoint import read_config
from presage.training.data import check_fits, open_dataset
from presage.worlds.recording import Recording


@dataclass(frozen=True)
class Sight:
    """How a model looks at its robot."""

    cameras: tuple[str, ...]
    size: int
    chunk_shape: tuple[int, int]
    state_dim: int
    middle: tuple[np.ndarray, np.ndarray]
    """(chunk, A) and (D,): what is 0 to the model, where this robot has no number"""
    robots: tuple[Robot, ...]
    slots: Slots
    trained_on: frozenset[str] | None
    """Marks of the episodes it was trained on; None: it does not say"""


def sight_of(folder: Path) -> Sight:
    """How a checkpoint looks, of a world model or of a system.

    Raises:
        UserError: it is no checkpoint, or its config.json is damaged.
    """
    config = read_config(folder)
    try:
        if "shape" in config:
            model = config["shape"]
            size, codecs = model["size"], [model["action_codec"], model["state_codec"]]
        else:
            model = config["model"]
            size, codecs = model["codec"]["size"], [config["action_codec"], config["state_codec"]]
        cameras, chunk = tuple(model["cameras"]), (model["chunk"], model["action_dim"])
        robots = _robots(config, folder, cameras, chunk, model["state_dim"], model.get("fps", 5.0))
        slots = Slots(**config["slots"]) if "slots" in config else Slots.of(robots)
        action, state = (np.asarray(codec["center"]) for codec in codecs)
        known = (config.get("trained_on") or "").split()
        return Sight(
            cameras,
            size,
            chunk,
            model["state_dim"],
            (action.reshape(chunk), state),
            tuple(robots),
            slots,
            frozenset(known) or None,  # none could be told apart when it was trained
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'}: field {error} does not fit; train it again") from None


def _robots(
    config: dict[str, Any], folder: Path, cameras: Sequence[str], chunk: tuple[int, int], state: int, fps: float
) -> list[Robot]:
    if "robots" in config:
        return Robot.all_from_config(config, folder / "config.json")
    return [Robot.of_chunked_rows(cameras, *chunk, state, fps)]


def recording_for(sight: Sight, dataset: Dataset) -> Recording:
    """A dataset as the model of `sight` is to see it.

    Raises:
        UserError: it is of another robot, or lacks a camera or a column.
    """
    robot = replace(find_robot(sight.robots, dataset), overlap=False)
    steps = dataset if robot.chunked_rows else Steps(dataset, robot, sight.slots)
    check_fits(steps, sight.cameras, int(np.prod(sight.chunk_shape)))
    numbers = [e.index for e in dataset.episodes]
    return Recording(steps, sight.cameras, sight.size, sight.chunk_shape, sight.state_dim, numbers, sight.middle)


def recording_of_robot(robot: Robot, dataset: Dataset, size: int) -> Recording:
    """A dataset through a robot's cameras, in the robot's own commands: for models that know nothing of presage.

    Raises:
        UserError: it lacks a camera or a column.
    """
    steps = dataset if robot.chunked_rows else Steps(dataset, replace(robot, overlap=False))
    shape = (robot.chunk, len(robot.action_names))
    check_fits(steps, list(robot.cameras), int(np.prod(shape)))
    numbers = [e.index for e in dataset.episodes]
    return Recording(steps, list(robot.cameras), size, shape, len(robot.state_names), numbers)


def held_out(dataset: Dataset, trained_on: frozenset[str] | None) -> tuple[list[int], bool]:
    """(numbers of the episodes that a model was not trained on, whether that is known of each): all, where it does not
    say; those that cannot be told apart are among them."""
    numbers = [e.index for e in dataset.episodes]
    if trained_on is None:
        return numbers, False
    marks = episode_marks(dataset)
    fresh = [number for number, mark in zip(numbers, marks, strict=True) if not among(mark, trained_on)]
    return fresh, all(marks)


def open_held_out(
    sight: Sight, data: Path, labels: Sequence[Path] = (), also: Sequence[int] = (), fresh: bool = True
) -> Recording:
    """The episodes of a dataset that the model of `sight` was not trained on, as far as it says, as it sees them.

    labels: files of outcomes that a person told; that beside the dataset by default. also: episodes that are asked for
    in any case. fresh: False asks for all of them.

    Raises:
        UserError: there is no such dataset, it does not fit, or the model was trained on all of it.
    """
    dataset = open_dataset(data, labels=labels)
    require_used([dataset], labels)
    found, known = held_out(dataset, sight.trained_on if fresh else None)
    chosen = sorted({*found, *also})
    if not chosen:
        raise UserError(
            f"{data}: the model was trained on all of its {len(dataset.episodes)} episodes; give others "
            "(presage dataset split keeps some apart)"
        )
    some = dataset if len(chosen) == len(dataset.episodes) else open_dataset(data, chosen, labels)
    recording = recording_for(sight, some)
    recording.held_out = known and len(chosen) == len(found)
    return recording


def check_same_robot(mine: Sight, other: Sight, folder: Path, dataset: Dataset) -> None:
    """Raise `UserError` unless the checkpoint `folder` sees the robot of a dataset, and commands it, as mine does."""
    one, two = (replace(find_robot(sight.robots, dataset), recorded={}) for sight in (mine, other))
    for what, same in (
        ("cameras", one.cameras == two.cameras and one.fit == two.fit),
        ("size of pictures", mine.size == other.size),
        ("actions", (one.action_names, one.relative) == (two.action_names, two.relative)),
        ("state", one.state_names == two.state_names),
        ("rate", (one.chunk, one.fps) == (two.chunk, two.fps)),
        ("slots", mine.slots == other.slots),
    ):
        if not same:
            raise UserError(f"{folder}: {what} differ from those of the world model; train both on the same columns")


def served_robot(sight: Sight, dataset: Dataset, url: str) -> str:
    """Name of the robot of a dataset, where a policy server can be asked for it: the model takes its commands as they
    are and as fast as they were recorded, and looks through its own cameras.

    Raises:
        UserError: the model sees it otherwise.
    """
    robot = find_robot(sight.robots, dataset)
    plain = all(sources == [camera] for camera, sources in robot.cameras.items()) and len(sight.robots) == 1
    if not plain or any(entry >= 0 for entry in robot.relative):
        raise UserError(
            f"{url}: a server sees and commands {robot.name!r} as it is, the model through tiled cameras, shared slots "
            "or relative actions; rank checkpoints, or train the world model on absolute actions"
        )
    recorded = dataset.fps * (robot.chunk if robot.chunked_rows else 1)
    if not math.isclose(robot.fps, recorded):  # its chunks would be dreamed faster or slower than the robot does them
        raise UserError(
            f"{url}: a server's actions are {recorded:g} a second, as {dataset.root} was recorded, those of the world "
            f"model {robot.fps:g}; train it at the dataset's rate (--fps {recorded:g})"
        )
    return robot.name
