"""What a robot sent, as an observation: names, shapes and types checked before anything is computed.

openpi's robots name what they send with slashes or nest it (`observation/state`, `{"observation": {"state": ...}}`),
LeRobot's with dots and plurals (`observation.images.front`); both are read as presage's names, `image.front` and `state`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.networks.world_model import WorldModelConfig
from presage.policy.embodied import Embodiment
from presage.policy.protocol import Observation

MAX_PROMPT = 1_000
"""Characters of an instruction; embedded instructions are remembered, so their size must be bounded."""
SIDES = (8, 4096)
"""Pixels of the shortest and the longest side of a robot's picture."""
_MAX_DEPTH = 4


@dataclass(frozen=True)
class Terms:
    """What an observation must hold, in the terms of the model itself or of one of its robots."""

    cameras: list[str]
    sides: tuple[int, int]
    """Pixels of the shortest and the longest side of a picture that is taken; equal: only squares of this size."""
    state_dim: int

    @staticmethod
    def of_model(config: WorldModelConfig) -> "Terms":
        """Pictures in the model's size, numbers as it was trained with them."""
        return Terms(list(config.cameras), (config.codec.size, config.codec.size), config.state_dim)

    @staticmethod
    def of_robot(body: Embodiment) -> "Terms":
        """The robot's own cameras, in the size that they have, and its state."""
        return Terms(body.cameras, SIDES, len(body.robot.state_names))

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
    names = {_image(camera): f"({side}, {side}, 3) uint8" for camera in terms.cameras}
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
    missing = [name for name in expected(terms) if name not in given]
    if missing:
        raise UserError(f"the observation has no {', '.join(missing)}{_expectation(terms)}")
    observation = {}
    for camera in terms.cameras:
        image = given[_image(camera)]
        if not _is_picture(image, terms):
            raise UserError(f"{_image(camera)} is {_kind(image)}{_expectation(terms)}")
        observation[f"image.{camera}"] = image[None]
    if terms.state_dim:
        observation["state"] = _state(given["state"], terms)[None]
    prompt, reset, sequence = given["prompt"], given.get("reset", False), given.get("sequence")
    if not isinstance(prompt, str) or not prompt.strip() or len(prompt) > MAX_PROMPT:
        raise UserError(f"prompt must be text of 1 to {MAX_PROMPT} characters that says what the robot should do")
    if not isinstance(reset, bool | np.bool_):
        raise UserError(f"reset is {_kind(reset)}: true starts a new episode, false or nothing continues")
    if not isinstance(sequence, int | np.integer | None):
        raise UserError(f"sequence is {_kind(sequence)}: give a whole number, it comes back with the answer")
    return Request(observation, prompt, bool(reset), sequence)


def _image(camera: str) -> str:
    """Name of a camera's picture, as `_flat` reads it."""
    return f"image.{camera}".replace("/", ".")


def _is_picture(image: Any, terms: Terms) -> bool:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
        return False
    shortest, longest = terms.sides
    return image.shape[2] == 3 and all(shortest <= side <= longest for side in image.shape[:2])


def _state(value: Any, terms: Terms) -> np.ndarray:
    """(D,) float32; a list of numbers will do."""
    try:
        state = np.asarray(value)
    except ValueError:  # a ragged list
        state = np.array(None)
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
