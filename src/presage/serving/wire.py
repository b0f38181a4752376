"""Messages of openpi's policy servers: msgpack, with numpy arrays and scalars as marked maps.

`pack` gives the bytes that `openpi-client` gives (its module `msgpack_numpy`; benchmarks/interop/openpi_wire.py
compares them), so robots that speak openpi connect unchanged. Nothing is ever unpickled: an array is its raw bytes, its
dtype and its shape, and dtypes that could hold anything else (objects, structures) are refused, as complex numbers are.

`unpack` is for strangers' bytes. What a message claims about itself (lengths, shapes, text widths) allocates nothing,
and the number of its containers is bounded, because a byte of msgpack can become a Python object of 64.
"""

import math
import re
from typing import Any

import msgpack
import numpy as np

from presage.errors import UserError

_ARRAY, _SCALAR = b"__ndarray__", b"__npgeneric__"
_REFUSED_KINDS = "VOc"
_PYTHON = {"b": bool, "i": int, "u": int, "f": float, "U": str, "S": bytes, "m": int, "M": int}
"""What a scalar of each kind of dtype travels as."""
_DTYPE = re.compile(
    r"[<>|=]?[a-zA-Z?]\d{0,9}(\[\w{1,8}\])?"
)  # one plain type: no structures, no text that numpy evaluates
MAX_CONTAINERS = 10_000
MAX_LENGTH = 16_384
"""Maps and lists in one message, and entries in one of them; arrays travel as bytes and do not count."""


def pack(message: Any) -> bytes:
    """A message as bytes; arrays of any layout are sent in C order.

    Raises:
        ValueError: an array holds objects, structures or complex numbers.
        TypeError: a value that neither msgpack nor numpy has.
    """
    return msgpack.packb(message, default=_encode)


def unpack(data: bytes) -> Any:
    """The message in `data`; arrays are read-only views of it.

    Raises:
        UserError: not msgpack, cut short, too deep or too large, or an array whose dtype, shape and bytes do not fit.
    """
    containers = 0

    def count(value: Any) -> Any:
        nonlocal containers
        containers += 1
        if containers > MAX_CONTAINERS:
            raise ValueError(f"more than {MAX_CONTAINERS} maps and lists")
        return value

    try:
        return msgpack.unpackb(
            data,
            object_hook=lambda value: _decode(count(value)),
            list_hook=count,
            max_array_len=MAX_LENGTH,
            max_map_len=MAX_LENGTH,
        )
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise UserError(f"not a message of openpi's protocol (msgpack with numpy arrays): {what[:200]}") from None


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind in _REFUSED_KINDS:
            raise ValueError(f"arrays of dtype {value.dtype} cannot be sent: send numbers, booleans or text")
        if isinstance(value, np.ndarray):
            return {_ARRAY: True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
        return {_SCALAR: True, b"data": value.item(), b"dtype": value.dtype.str}
    return value


def _decode(value: dict[Any, Any]) -> Any:
    if _ARRAY in value:
        data, dtype, shape = value[b"data"], _dtype(value[b"dtype"]), value[b"shape"]
        if min(shape, default=0) < 0 or not dtype.itemsize or math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"an array of {len(data)} bytes that claims the shape {shape} of {dtype}")
        return np.ndarray(shape, dtype, data)
    if _SCALAR in value:
        data, dtype = value[b"data"], _dtype(value[b"dtype"])
        if not isinstance(data, _PYTHON[dtype.kind]):
            raise ValueError(f"a scalar of {dtype} that holds {type(data).__name__}")
        # Times need their unit, which only the dtype has; text must not be given the width that its dtype claims.
        return np.array(data, dtype)[()] if dtype.kind in "mM" else dtype.type(data)
    return value


def _dtype(name: Any) -> np.dtype:
    if not isinstance(name, str) or not _DTYPE.fullmatch(name) or np.dtype(name).kind in _REFUSED_KINDS:
        raise ValueError(f"dtype {str(name)[:40]!r} is refused: numbers, booleans, text and times are plain data")
    return np.dtype(name)
