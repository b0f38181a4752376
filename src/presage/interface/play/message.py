"""What goes between the browser and the server: JSON in, checked field by field; JSON and pictures out."""

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from presage.errors import UserError

MAX_BYTES = 2**14
"""Of one message from a browser."""
MAX_RATE = 20
MAX_STEPS = 8
MAX_INSTRUCTION = 1_000
LARGEST = 2**31 - 1

Check = Callable[[Any], Any]
"""A value as it should be; ValueError, with what is expected, where it is not."""


def _number(low: float, high: float) -> Check:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return float(value)

    return check


def _whole(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return check


def _one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return value

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_INSTRUCTION:
        raise ValueError(f"text of 1 to {MAX_INSTRUCTION} characters")
    return value


def _action(value: Any) -> np.ndarray:
    numbers = isinstance(value, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    if not numbers or not value or not all(-1 <= x <= 1 for x in value):
        raise ValueError("a list of numbers from -1 to 1")
    return np.array(value, np.float32)


FIELDS: dict[str, dict[str, Check]] = {
    "controls": {"action": _action, "stamp": _number(0, 1e15)},
    "seen": {"frame": _whole(0, LARGEST)},
    "run": {"on": _flag},
    "drive": {"by": _one_of("person", "policy", "recording")},
    "instruct": {"text": _text},
    "settings": {
        "steps": _whole(0, MAX_STEPS),
        "rate": _number(1, MAX_RATE),
        "seed": _whole(0, LARGEST),
        "spread": _flag,
    },
    "reset": {"task": _text, "scene": _whole(0, LARGEST)},
    "start": {"episode": _whole(0, LARGEST), "frame": _whole(0, LARGEST)},
    "rewind": {"moment": _whole(0, LARGEST)},
    "ground": {},
    "disturb": {"kind": _text},
    "record": {"on": _flag, "frames": _one_of("imagined", "real"), "good": _flag},
}
"""type of a message -> its fields, all of them needed"""


def read_message(data: str | bytes) -> tuple[str, dict[str, Any]]:
    """(type, fields) of a browser's message.

    Raises:
        UserError: it is anything else; the line says what is expected.
    """
    if isinstance(data, bytes):
        raise UserError("a binary message: send JSON as text")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise UserError("the message is not JSON") from None
    kind = message.get("type") if isinstance(message, dict) else None
    if not isinstance(kind, str) or kind not in FIELDS:
        raise UserError(f"a message is an object whose type is one of {', '.join(FIELDS)}")
    fields = {}
    for name, check in FIELDS[kind].items():
        try:
            fields[name] = check(message.get(name))
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{kind}.{name} must be {error}") from None
    return kind, fields


def pack_frame(header: Mapping[str, Any], planes: Sequence[tuple[str, str, np.ndarray]]) -> bytes:
    """A frame as a browser reads it: length of the header (4 bytes, little endian), header as JSON, then the pictures.

    planes: (what, camera, (S, S, 3) or (S, S) uint8), raw: the browser compares pixels, so none may be lost.
    """
    listed = [[what, camera, 1 if image.ndim == 2 else image.shape[2]] for what, camera, image in planes]
    text = json.dumps({**header, "planes": listed}, allow_nan=False).encode()
    return b"".join([struct.pack("<I", len(text)), text, *(image.tobytes() for _, _, image in planes)])


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
