"""What a robot sent, as an observation of the model: names, shapes and types checked before anything is computed.

openpi's robots name what they send with slashes or nest it (`observation/state`, `{"observation": {"state": ...}}`),
LeRobot's with dots and plurals (`observation.images.front`); both are read as presage's names, `image.front` and `state`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.networks.world_model import WorldModelConfig
from presage.policy.protocol import Observation

MAX_PROMPT = 1_000
"""Characters of an instruction; embedded instructions are remembered, so their size must be bounded."""
_MAX_DEPTH = 4


@dataclass(frozen=True)
class Request:
    observation: Observation
    """One row: `image.<camera>` (1, S, S, 3) uint8 and, where the model has one, `state` (1, D) float32."""
    prompt: str
    reset: bool
    """A new episode begins with this observation."""
    sequence: Any
    """Comes back with the answer; None: there was none."""


def expected(config: WorldModelConfig) -> dict[str, str]:
    """name -> what a request must hold under it."""
    size = config.codec.size
    names = {f"image.{camera}": f"({size}, {size}, 3) uint8" for camera in config.cameras}
    if config.state_dim:
        names["state"] = f"({config.state_dim},) numbers"
    return names | {"prompt": "the instruction, text"}


def read_request(message: Any, config: WorldModelConfig) -> Request:
    """A request from an unpacked message. Entries nobody asked for are ignored.

    Raises:
        UserError: something is missing or does not fit; the line lists what is expected.
    """
    if not isinstance(message, dict):
        raise UserError(f"an observation is a map, not {type(message).__name__}{_expectation(config)}")
    given = dict(_flat(message))
    missing = [name for name in expected(config) if name not in given]
    if missing:
        raise UserError(f"the observation has no {', '.join(missing)}{_expectation(config)}")
    size = config.codec.size
    observation = {}
    for camera in config.cameras:
        name = f"image.{camera}"
        image = given[name]
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != (size, size, 3):
            raise UserError(f"{name} is {_kind(image)}{_expectation(config)}")
        observation[name] = image[None]
    if config.state_dim:
        observation["state"] = _state(given["state"], config)[None]
    prompt, reset, sequence = given["prompt"], given.get("reset", False), given.get("sequence")
    if not isinstance(prompt, str) or not prompt.strip() or len(prompt) > MAX_PROMPT:
        raise UserError(f"prompt must be text of 1 to {MAX_PROMPT} characters that says what the robot should do")
    if not isinstance(reset, bool | np.bool_):
        raise UserError(f"reset is {_kind(reset)}: true starts a new episode, false or nothing continues")
    if not isinstance(sequence, int | np.integer | None):
        raise UserError(f"sequence is {_kind(sequence)}: give a whole number, it comes back with the answer")
    return Request(observation, prompt, bool(reset), sequence)


def _state(value: Any, config: WorldModelConfig) -> np.ndarray:
    """(D,) float32; a list of numbers will do."""
    try:
        state = np.asarray(value)
    except ValueError:  # a ragged list
        state = np.array(None)
    if state.dtype.kind not in "fiu" or state.shape != (config.state_dim,):
        raise UserError(f"state is {_kind(value)}{_expectation(config)}")
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


def _expectation(config: WorldModelConfig) -> str:
    return "; expected: " + ", ".join(f"{name} {what}" for name, what in expected(config).items())


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    return type(value).__name__
