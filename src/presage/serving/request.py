"""What a robot sent, as an observation: names, shapes and types checked before anything is computed.

openpi's robots name what they send with slashes or nest it (`observation/state`, `{"observation": {"state": ...}}`),
LeRobot's with dots and plurals (`observation.images.front`); both are read as presage's names, `image.front` and
`state`. DROID's and LIBERO's clients of openpi name pictures after cameras alone (`observation/exterior_image_1_left`),
and DROID's send the state in parts (`observation/joint_position`, `observation/gripper_position`): those are found too.
What may mean several things is refused.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from presage.episodes.naming import GRIPPER_NAME
from presage.episodes.steps import MAX_INSTRUCTION, NO_INSTRUCTION
from presage.errors import UserError
from presage.networks.robot import Facts
from presage.policy.embodied import Embodiment
from presage.serving.pictures import SIDES, as_picture
from presage.worlds.protocol import Observation

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
    """Names and numbers of the parts that may be sent instead of the whole state."""
    prompt: str | None = None
    """What is done where nothing is said; None: it has to be said."""

    @staticmethod
    def of_model(facts: Facts) -> "Terms":
        """Pictures in the model's size, numbers as it was trained with them."""
        return Terms(list(facts.cameras), (facts.size, facts.size), facts.state_dim)

    @staticmethod
    def of_robot(body: Embodiment) -> "Terms":
        """The robot's own cameras, in the size that they have, and its state."""
        names = body.robot.state_names
        whole = all(part.numbers == list(range(len(part.numbers))) for part in body.robot.state)
        parts = [(_presage_name(part.feature), len(part.numbers)) for part in body.robot.state if whole]
        if len(parts) == 1 and _are_joints_and_gripper(names):
            parts = [(JOINTS, len(names) - 1), (GRIPPER, 1)]
        return Terms(body.cameras, SIDES, len(names), tuple(parts), None if body.robot.instructed else NO_INSTRUCTION)

    @property
    def message_limit(self) -> int:
        """Bytes of the largest message that is read. Where one size alone is taken, there is room for an observation of
        another, or of floats, so that it is explained or read."""
        shortest, longest = self.sides
        return 2**20 + (8 if shortest == longest else 1) * len(self.cameras) * 3 * longest**2


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
    sent = _named(message)
    given = sent | _found_elsewhere(sent, terms)
    missing = [name for name in expected(terms) if name not in given]
    if missing:
        raise UserError(f"the observation has no {', '.join(missing)}{_expectation(terms)}; sent: {_listing(sent)}")
    observation = {}
    for camera in terms.cameras:
        image = as_picture(given[_image(camera)])
        if image is None or not all(terms.sides[0] <= side <= terms.sides[1] for side in image.shape[:2]):
            raise UserError(f"{_image(camera)} is {_picture_kind(given[_image(camera)])}{_expectation(terms)}")
        observation[f"image.{camera}"] = image[None]
    if terms.state_dim:
        observation["state"] = _state(given["state"], terms)[None]
    prompt, reset, sequence = _text(given["prompt"]), given.get("reset", False), given.get("sequence")
    if prompt is None or not prompt.strip() or len(prompt) > MAX_INSTRUCTION:
        raise UserError(f"prompt must be text of 1 to {MAX_INSTRUCTION} characters that says what the robot should do")
    if not isinstance(reset, bool | np.bool_):
        raise UserError(f"reset is {_kind(reset)}: true starts a new episode, false or nothing continues")
    if not isinstance(sequence, int | np.integer | None):
        raise UserError(f"sequence is {_kind(sequence)}: give a whole number, it comes back with the answer")
    return Request(observation, prompt, bool(reset), sequence)


def _image(camera: str) -> str:
    """Name of a camera's picture, as `_flat` reads it."""
    return f"image.{camera}".replace("/", ".")


def asks_for_reset(message: Any) -> bool:
    """Whether a message begins an episode, however little else of it fits."""
    try:
        reset = _named(message).get("reset", False) if isinstance(message, dict) else False
    except UserError:
        return False
    return isinstance(reset, bool | np.bool_) and bool(reset)


def _found_elsewhere(sent: dict[str, Any], terms: Terms) -> dict[str, Any]:
    """What stands under another name, under presage's, where no other meaning is possible."""
    found: dict[str, Any] = {}
    for camera in terms.cameras:
        source = None if _image(camera) in sent else _picture_of(camera, sent, terms)
        if source is not None:
            found[_image(camera)] = sent[source]
    sources = [_part_of(name, sent) for name, _ in terms.parts]
    if "state" not in sent and sources and None not in sources and len(set(sources)) == len(sources):
        parts = [np.atleast_1d(_numbers(sent[source])) for source in sources if source is not None]
        if [part.shape for part in parts] == [(size,) for _, size in terms.parts]:
            found["state"] = np.concatenate(parts)
    prompt = sent.get("prompt")
    if terms.prompt is not None and (prompt is None or (_text(prompt) is not None and not str(_text(prompt)).strip())):
        found["prompt"] = terms.prompt
    return found


def _part_of(name: str, sent: dict[str, Any]) -> str | None:
    """The name under which a part of the state was sent: its own, or the end of it (`joint_position` of
    `state.joint_position`). None: none, or it may be several."""
    ends = [other for other in sent if name.endswith(f".{other}")]
    return name if name in sent else ends[0] if len(ends) == 1 else None


def _picture_of(camera: str, sent: dict[str, Any], terms: Terms) -> str | None:
    """The name under which a camera's picture was sent; None: none, or it may be several."""
    name = camera.replace("/", ".")
    if name in sent:
        return name
    pictures = [name for name, value in sent.items() if isinstance(value, np.ndarray) and value.ndim >= 3]
    if pictures == ["image"] and len(terms.cameras) == 1:
        return "image"
    alike = [picture for picture in pictures if _bare(picture) == _bare(camera)]
    unique = len(alike) == 1 and sum(_bare(other) == _bare(camera) for other in terms.cameras) == 1
    return alike[0] if unique and _bare(camera) else None


def _bare(name: str) -> tuple[str, ...]:
    """The words of a picture's name, without `image`, which some put into it: `wrist_image_left` is `wrist_left`."""
    return tuple(word for word in re.split(r"[^a-z0-9]+", name.lower()) if word not in ("", "image", "images"))


def _are_joints_and_gripper(names: list[str]) -> bool:
    """Whether a state consists of what DROID's clients send in two parts."""
    *joints, last = names
    return joints != [] and all("joint" in name.lower() for name in joints) and GRIPPER_NAME.search(last) is not None


def _picture_kind(value: Any) -> str:
    """What was sent instead of a picture, and what it might have been."""
    if isinstance(value, bytes | str):
        return f"{_kind(value)}: decode compressed pictures first"
    if isinstance(value, np.ndarray) and value.dtype.kind in "uif" and value.dtype != np.uint8 and value.size:
        return f"{_kind(value)} of {value.min():g} to {value.max():g}"
    return _kind(value)


def _text(value: Any) -> str | None:
    """One text, be it bytes, or alone in an array or a list; None: it is none."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return None
    return text if isinstance(text, str) else None


def _numbers(value: Any) -> np.ndarray:
    """Numbers, alone, in an array, or in lists of up to two levels, as an array; of anything else an empty one, which
    fits nowhere. Numpy sees no list before its entries were looked at: it makes all texts as wide as the longest."""
    rows = value if isinstance(value, list) else [value]
    entries = chain.from_iterable(row if isinstance(row, list) else [row] for row in rows)
    try:
        return np.asarray(value) if all(map(_is_numeric, entries)) else np.empty(0)
    except ValueError:  # a ragged list
        return np.empty(0)


def _is_numeric(value: Any) -> bool:
    return type(value) in (int, float) or (isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiu")


def _state(value: Any, terms: Terms) -> np.ndarray:
    """(D,) float32; a list of numbers will do."""
    state = _numbers(value)
    state = state[0] if state.ndim == 2 and len(state) == 1 else np.atleast_1d(state)
    if state.dtype.kind not in "fiu" or state.shape != (terms.state_dim,):
        raise UserError(f"state is {_kind(value)}{_expectation(terms)}")
    if not np.isfinite(state).all() or np.abs(state).max() > np.finfo(np.float32).max:
        raise UserError("state holds numbers that are not finite: leave the observation out until the sensor answers")
    return state.astype(np.float32)


def _named(message: dict[Any, Any]) -> dict[str, Any]:
    """presage's name -> value of every entry.

    Raises:
        UserError: two entries mean the same.
    """
    entries = list(_flat(message))
    named = dict(entries)
    if len(named) < len(entries):
        twice = next(name for name, n in Counter(name for name, _ in entries).items() if n > 1)
        raise UserError(f"{_listing([twice])} was sent twice, under names that mean the same: send one of them")
    return named


def _flat(message: dict[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(presage's name, value) of every entry."""
    for key, value in message.items():
        name = f"{prefix}{key}".replace("/", ".")
        if isinstance(value, dict):
            if depth == _MAX_DEPTH:
                raise UserError(f"the observation is nested deeper than {_MAX_DEPTH} maps at {name[:40]!r}")
            yield from _flat(value, f"{name}.", depth + 1)
        else:
            yield _presage_name(name), value


def _presage_name(name: str) -> str:
    name = name.replace("/", ".").removeprefix("observation.")
    return f"image.{name.removeprefix('images.')}" if name.startswith("images.") else name


def _listing(sent: Iterable[str]) -> str:
    """The first names of a message, so that a misspelt one is found."""
    names = [name[:40] if name.isprintable() else repr(name[:40]) for name in sent][:12]
    return ", ".join(names) or "nothing"


def _expectation(terms: Terms) -> str:
    return "; expected: " + ", ".join(f"{name} {what}" for name, what in expected(terms).items())


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    return type(value).__name__
