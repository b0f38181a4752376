"""A model in the terms of one of its robots: the robot's own cameras, state and commands, whatever the model was
trained.

    body = choose_robot(folder)
    policy = EmbodiedPolicy(make_policy("joint", model), body)
    policy.reset(["open the drawer"])
    chunk = policy.act({"image.wrist": pictures, "state": joints})     # commands that the robot executes as they are

The model sees squares of its own size, several cameras tiled into one, and numbers in slots that robots share; it
answers with all slots, relative to the state where it was trained so. This is the way there and back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from presage.episodes.fit import same_proportions
from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.errors import UserError
from presage.training.checkpoint import read_config
from presage.worlds.protocol import Observation, Policy


@dataclass(frozen=True)
class Embodiment:
    """A robot of a checkpoint. S and A are the numbers of its state and action, N rows of a batch."""

    name: str
    """With a number where several robots of the checkpoint have the same."""
    robot: Robot
    slots: Slots
    size: int
    """Pixels a side of what the model sees."""
    middle: Sequence[float]
    """(state_dim,) the state that is 0 to the model: what training fills in where a robot has no number."""

    @property
    def cameras(self) -> list[str]:
        """The robot's own, each once."""
        return list(dict.fromkeys(source for sources in self.robot.cameras.values() for source in sources))

    def see(self, observation: Observation) -> Observation:
        """What the model observes of `image.<camera of the robot>` (N, H, W, 3) uint8 of any size and `state` (N, S).

        Raises:
            UserError: a camera is missing, or the state has another size.
        """
        images = {name.removeprefix("image."): x for name, x in observation.items() if name.startswith("image.")}
        rows = len(next(iter(observation.values())))
        pictures = [self.robot.pictures({c: x[row] for c, x in images.items()}, self.size) for row in range(rows)]
        seen = {f"image.{camera}": np.stack([p[camera] for p in pictures]) for camera in self.robot.cameras}
        if self.slots.state_dim:
            seen["state"] = self._place(self._state(observation, rows))
        return seen | ({"active": observation["active"]} if "active" in observation else {})

    def padded(self, observation: Observation) -> list[str]:
        """Cameras whose pictures have other proportions than training saw: black bars around them are cut off."""
        sizes = self.robot.recorded
        seen = {camera: observation.get(f"image.{camera}") for camera in sizes}
        return [
            c for c, images in seen.items() if images is not None and not same_proportions(images.shape[1:3], sizes[c])
        ]

    def command(self, chunk: np.ndarray, observation: Observation) -> np.ndarray:
        """The robot's own absolute chunk (N, chunk, A) float32, from the model's (N, chunk, action_dim) for what the
        robot observed."""
        own = self.slots.take_action(self.robot, chunk)
        return self.robot.to_absolute(own, self._state(observation, len(chunk)))

    def _state(self, observation: Observation, rows: int) -> np.ndarray:
        """(N, S) float32, (N, 0) for a robot without one."""
        shape = (rows, len(self.robot.state_names))
        if not shape[1]:
            return np.zeros(shape, np.float32)
        state = observation.get("state")
        if state is None or state.shape != shape:
            raise UserError(
                f"robot {self.name!r} has a state of {shape[1]} numbers: {', '.join(self.robot.state_names)}"
            )
        return state.astype(np.float32)

    def _place(self, state: np.ndarray) -> np.ndarray:
        """(N, state_dim), filled as in training; in float64, so that what is filled in is normalised to 0 exactly."""
        empty = np.isnan(self.slots.place_state(self.robot, np.zeros_like(state)))
        return np.where(empty, np.asarray(self.middle), self.slots.place_state(self.robot, state))


class EmbodiedPolicy:
    """A `Policy` in the robot's terms, from one of the model's."""

    def __init__(self, policy: Policy, body: Embodiment) -> None:
        self.policy, self.body = policy, body

    def reset(self, instructions: list[str]) -> None:
        self.policy.reset(instructions)

    def act(self, observation: Observation) -> np.ndarray:
        """Commands (N, chunk, A) from what `Embodiment.see` takes."""
        return self.body.command(self.policy.act(self.body.see(observation)), observation)


def choose_robot(folder: Path, name: str | None = None) -> Embodiment | None:
    """The robot of a checkpoint that is called `name`, or its only one. None: the checkpoint was trained on presage's
    own recordings, whose robot speaks the model's terms.

    Raises:
        UserError: there is no such robot, there are several and none is named, it has no action, or config.json is
            damaged.
    """
    config, path = read_config(folder), folder / "config.json"
    try:
        robots = Robot.all_from_config(config, path)
        slots = Slots(**config["slots"]) if "slots" in config else Slots.of(robots)
        shape = config.get("shape")  # of a system
        size = shape["size"] if shape else config["model"]["codec"]["size"]
        middle = (shape or config)["state_codec"]["center"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: field {error} does not fit; retrain or fetch it again") from None
    named = _distinct(robots)
    if name is None and len(named) > 1:
        raise UserError(f"{folder} knows several robots: choose one with --robot, from {', '.join(named)}")
    name = next(iter(named)) if name is None else name
    if name not in named:
        raise UserError(f"--robot {name}: {folder} does not know it; choose from {', '.join(named)}")
    if named[name].chunked_rows:
        return None
    if not named[name].action:
        raise UserError(
            f"{folder} was trained without actions of robot {name!r}, so it cannot act; train with --action"
        )
    return Embodiment(name, named[name], slots, size, middle)


def _distinct(robots: list[Robot]) -> dict[str, Robot]:
    """By name; the second `arm` is called `arm-2`."""
    named: dict[str, Robot] = {}
    for robot in robots:
        name, number = robot.name, 1
        while name in named:
            number += 1
            name = f"{robot.name}-{number}"
        named[name] = robot
    return named
