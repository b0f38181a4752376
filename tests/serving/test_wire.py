"""The wire codec: openpi-client's bytes, whatever numpy array comes back, and nothing a stranger sends does harm."""

import json
import pickle
import struct
import tracemalloc
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.serving.wire_samples import refused, samples

from presage.errors import UserError
from presage.serving.wire import pack, unpack

GOLDEN = json.loads((Path(__file__).parent / "openpi_client_0_1_2.json").read_text())
"""Written by benchmarks/interop/openpi_wire.py with openpi-client 0.1.2."""


@pytest.mark.parametrize("name", samples())
def test_the_bytes_are_openpi_clients(name: str) -> None:
    assert pack(samples()[name]).hex() == GOLDEN[name]


@pytest.mark.parametrize("name", refused())
def test_what_openpi_refuses_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        pack(refused()[name])


dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(),
    hnp.unicode_string_dtypes(min_len=1, max_len=5),
    hnp.byte_string_dtypes(min_len=1, max_len=5),
    hnp.datetime64_dtypes(),
)
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


@given(arrays, st.booleans())
def test_arrays_survive(array: np.ndarray, transposed: bool) -> None:
    array = array.T if transposed else array
    back = unpack(pack({"a": [array]}))["a"][0]
    assert back.dtype == array.dtype and back.shape == array.shape and back.tobytes() == array.tobytes()


leaves = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()
)


@given(st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)))
def test_plain_messages_survive(message: object) -> None:
    assert unpack(pack(message)) == message


@pytest.mark.parametrize(
    "scalar", [np.float32(0.5), np.int8(-3), np.bool_(True), np.uint64(2**63), np.datetime64(5, "ns")]
)
def test_scalars_keep_their_type(scalar: np.generic) -> None:
    back = unpack(pack(scalar))
    assert back == scalar and back.dtype == scalar.dtype


@given(st.binary(max_size=200))
def test_random_bytes_are_a_message_or_one_line(data: bytes) -> None:
    try:
        unpack(data)
    except UserError as error:
        assert "\n" not in str(error)


@given(st.data())
def test_a_damaged_message_is_a_message_or_one_line(data) -> None:
    whole = bytes.fromhex(GOLDEN["observation"])
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:position] + bytes([data.draw(st.integers(0, 255))]) + whole[position + 1 :]
    for attempt in (damaged, whole[:position]):
        try:
            unpack(attempt)
        except UserError as error:
            assert str(error).startswith("not a message")


def array(data: object, dtype: object, shape: object) -> bytes:
    return msgpack.packb({b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape})


def scalar(data: object, dtype: object) -> bytes:
    return msgpack.packb({b"__npgeneric__": True, b"data": data, b"dtype": dtype})


HOSTILE = {
    "huge shape": array(b"abcd", "<f4", [2**40]),
    "shape that overflows": array(b"", "<f4", [2**62, 2**62, 0]),
    "negative shape": array(b"abcd", "<f4", [-1]),
    "shape of text": array(b"abcd", "<f4", ["1"]),
    "too many axes": array(b"abcd", "<f4", [1] * 100),
    "wide text": array(b"", "<U99999999", [0, 5]),
    "no width": array(b"", "S0", [2**40]),
    "data of another type": array(5, "<f4", [1]),
    "no data": msgpack.packb({b"__ndarray__": True, b"dtype": "<f4", b"shape": [1]}),
    "objects": array(pickle.dumps(print), "O", [1]),
    "structure": array(b"abcdefgh", "f4,f4", [1]),
    "sub-array": array(b"abcdefgh", "(2,)f4", [1]),
    "dtype of another type": array(b"abcd", 5, [1]),
    "unknown dtype": array(b"abcd", "<z4", [1]),
    "scalar of many bytes": scalar(2**33, "S8"),
    "scalar of wide text": scalar("a", "<U999999999"),
    "scalar of a list": scalar([1] * 1000, "<f4"),
    "scalar too large": scalar(2**63, "<i8"),
    "deep nesting": b"\x91" * 100_000,
    "deep maps": b"\x81\xa1a" * 100_000,
    "long list": b"\xdd" + struct.pack(">I", 2**31) + b"\x00" * 9,
    "many lists in lists": (b"\xdc" + struct.pack(">H", 16_000)) * 500,
    "many empty maps": b"\xdc" + struct.pack(">H", 16_000) + b"\x80" * 16_000,
    "trailing bytes": b"\x01\x01",
    "key of a list": b"\x81\x90\x01",
    "not UTF-8": b"\xa2\xff\xff",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_are_one_line_and_allocate_little(name: str) -> None:
    tracemalloc.start()
    try:
        if name != "shape that overflows" and name != "wide text":
            with pytest.raises(UserError, match="not a message"):
                unpack(HOSTILE[name])
        else:  # nothing in them: numpy decides whether such an empty array can exist
            try:
                assert unpack(HOSTILE[name]).size == 0
            except UserError:
                pass
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()
