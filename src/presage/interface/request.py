"""What a robot sent, as an observation: names, shapes and types checked before anything is computed.

openpi's robots name what they send with slashes or nest it (`observation/state`, `{"observation": {"state": ...}}`),
LeRobot's with dots and plurals (`observation.images.front`); both are read as presage's names, `image.front` and `state`.
DROID's and LIBERO's clients of openpi name pictures after cameras alone (`observation/exterior_image_1_left`), and DROID's
send the state in parts (`observation/joint_position`, `observation/gripper_position`): those are found too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from presage.episodes.steps import NO_INSTRUCTION
from presage.errors import UserError
from presage.networks.world_model import WorldModelConfig
from presage.policy.embodied import Embodiment
from presage.policy.protocol import Observation

SIDES = (8, 4096)
"""Pixels of the shortest and the longest side of a robot's picture."""
JOINTS, GRIPPER = "joint_position", "gripper_position"
"""How DROID's clients name the parts of the state."""
_MAX_DEPTH = 4


@dataclass(frozen=True)
class Terms:
    """What an observation must hold, in the terms of the model itself or of one of its robots."""

    cameras: list[str]
    sides: tuple[int, int]
    """Pixels of the shortest and the longest side of a picture that is taken; equal: only squares of this size."""
    state_dim: int
    parts: tuple[tuple[str, int], ...] = ()
    """Names and numbers of the parts that may stand for the whole state."""
    prompt: str | None = None
    """What is done where nothing is said; None: it has to be said."""

    @staticmethod
    def of_model(config: WorldModelConfig) -> "Terms":
        """Pictures in the model's size, numbers as it was trained with them."""
        return Terms(list(config.cameras), (config.codec.size, config.codec.size), config.state_dim)

    @staticmethod
    def of_robot(body: Embodiment) -> "Terms":
        """The robot's own cameras, in the size that they have, and its state."""
        size = len(body.robot.state_names)
        parts = [(c.feature.removeprefix("observation."), len(c.numbers)) for c in body.robot.state]
        if len(parts) < 2:
            parts = [(JOINTS, size - 1), (GRIPPER, 1)]
        return Terms(body.cameras, SIDES, size, tuple(parts), None if body.robot.instructed else NO_INSTRUCTION)

    @property
    def message_limit(self) -> int:
        """Bytes of the largest message that is read. Where one size alone is taken, there is room for an observation of
        another, so that it is explained."""
        shortest, longest = self.sides
        return 2**20 + (4 if shortest == longest else 1) * len(self.cameras) * 3 * longest**2


@dataclass(frozen=True)
class Request:
    observation: Observation
    """One row: `image.<camera>` (1, H, W, 3) uint8 and, where there is one, `state` (1, D) float32."""
    prompt: str
    reset: bool
    """A new episode begins with this observation."""
    sequence: Any
    """Comes back with the answer; None: there was none."""


def expected(terms: Terms) -> dict[str, str]:
    """name -> what a request must hold under it."""
    shortest, longest = terms.sides
    side = f"{longest}" if shortest == longest else f"{shortest} to {longest}"
    names = {_image(camera): f"({side}, {side}, 3) uint8, or float in 0..1" for camera in terms.cameras}
    if terms.state_dim:
        names["state"] = f"({terms.state_dim},) numbers"
    return names | {"prompt": "the instruction, text"}


def read_request(message: Any, terms: Terms) -> Request:
    """A request from an unpacked message. Entries nobody asked for are ignored.

    Raises:
        UserError: something is missing or does not fit; the line lists what is expected.
    """
    if not isinstance(message, dict):
        raise UserError(f"an observation is a map, not {type(message).__name__}{_expectation(terms)}")
    given = dict(_flat(message))
    _find_elsewhere(given, terms)
    missing = [name for name in expected(terms) if name not in given]
    if missing:
        raise UserError(f"the observation has no {', '.join(missing)}{_expectation(terms)}")
    observation = {}
    for camera in terms.cameras:
        image = as_picture(given[_image(camera)])
        if image is None or not all(terms.sides[0] <= side <= terms.sides[1] for side in image.shape[:2]):
            raise UserError(f"{_image(camera)} is {_kind(given[_image(camera)])}{_expectation(terms)}")
        observation[f"image.{camera}"] = image[None]
    if terms.state_dim:
        observation["state"] = _state(given["state"], terms)[None]
    prompt, reset, sequence = given["prompt"], given.get("reset", False), given.get("sequence")
    if not isinstance(prompt, str) or not prompt.strip():
        raise UserError("prompt must be text that says what the robot should do")
    if not isinstance(reset, bool | np.bool_):
        raise UserError(f"reset is {_kind(reset)}: true starts a new episode, false or nothing continues")
    if not isinstance(sequence, int | np.integer | None):
        raise UserError(f"sequence is {_kind(sequence)}: give a whole number, it comes back with the answer")
    return Request(observation, prompt, bool(reset), sequence)


def _image(camera: str) -> str:
    """Name of a camera's picture, as `_flat` reads it."""
    return f"image.{camera}".replace("/", ".")


def _find_elsewhere(given: dict[str, Any], terms: Terms) -> None:
    """Put what stands under another name under presage's, where no other meaning is possible."""
    for camera in terms.cameras:
        plain = camera.replace("/", ".")
        if _image(camera) not in given and plain in given:
            given[_image(camera)] = given[plain]
    if "state" not in given and terms.parts and all(name in given for name, _ in terms.parts):
        parts = [np.atleast_1d(_numbers(given[name])) for name, _ in terms.parts]
        if [part.shape for part in parts] == [(size,) for _, size in terms.parts]:
            given["state"] = np.concatenate(parts)
    prompt = given.get("prompt")
    if terms.prompt is not None and (prompt is None or (isinstance(prompt, str) and not prompt.strip())):
        given["prompt"] = terms.prompt


def as_picture(value: Any) -> np.ndarray | None:
    """A picture as (H, W, 3) uint8: channels first or last, with a batch axis of one or without, whole numbers in 0..255 or
    floats in 0..1. None: it is none, or may be several things, such as floats in -1..1."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "uif":
        return None
    image = value[0] if value.ndim == 4 and len(value) == 1 else value
    if image.ndim != 3 or 3 not in (image.shape[0], image.shape[2]) or not image.size:
        return None
    if image.shape[2] != 3 or (image.shape[0] == 3 and image.shape[1] < SIDES[0]):
        image = image.transpose(1, 2, 0)
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 255):  # NaN is neither
        return None
    if image.dtype.kind == "f" and high <= 1:
        return np.rint(image * 255).astype(np.uint8)
    whole = image.dtype.kind in "ui" or bool((image == np.rint(image)).all())
    return np.ascontiguousarray(image.astype(np.uint8)) if whole else None


def _numbers(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError:  # a ragged list
        return np.array(None)


def _state(value: Any, terms: Terms) -> np.ndarray:
    """(D,) float32; a list of numbers will do."""
    state = _numbers(value)
    if state.dtype.kind not in "fiu" or state.shape != (terms.state_dim,):
        raise UserError(f"state is {_kind(value)}{_expectation(terms)}")
    if not np.isfinite(state).all() or np.abs(state).max() > np.finfo(np.float32).max:
        raise UserError("state holds numbers that are not finite: leave the observation out until the sensor answers")
    return state.astype(np.float32)


def _flat(message: dict[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(presage's name, value) of every entry."""
    for key, value in message.items():
        name = f"{prefix}{key}".replace("/", ".")
        if isinstance(value, dict):
            if depth == _MAX_DEPTH:
                raise UserError(f"the observation is nested deeper than {_MAX_DEPTH} maps at {name[:40]!r}")
            yield from _flat(value, f"{name}.", depth + 1)
        else:
            name = name.removeprefix("observation.")
            yield (f"image.{name.removeprefix('images.')}" if name.startswith("images.") else name), value


def _expectation(terms: Terms) -> str:
    return "; expected: " + ", ".join(f"{name} {what}" for name, what in expected(terms).items())


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    return type(value).__name__
