"""Messages whose bytes are compared with openpi-client's: every dtype and layout, rebuilt from nothing but numpy.

Runs under numpy 1.26 as well, which openpi-client 0.1.2 needs.
"""

import numpy as np


def samples() -> dict[str, object]:
    """name -> message."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    everywhere = {
        "observation": {
            "observation/image": image,
            "observation/state": np.linspace(-1, 1, 7, dtype=np.float32),
            "prompt": "öffne die Schublade",
        },
        "answer": {"actions": rng.standard_normal((4, 7)), "server_timing": {"infer_ms": 12.5}},
        "plain": {"none": None, "yes": True, "int": -(2**40), "float": 0.1, "bytes": b"\x00\xff", "list": [1, [2, {}]]},
        "transposed": image.transpose(2, 0, 1),
        "strided": image[::2, ::-1],
        "fortran": np.asfortranarray(image),
        "big-endian": np.arange(5, dtype=">f8"),
        "empty": np.zeros((0, 3), np.float32),
        "zero-dimensional": np.array(3, np.int16),
        "text": np.array(["open", "the drawer"]),
        "byte-strings": np.array([b"a", b"bcd"]),
        "times": np.array([0, 10**9], "datetime64[ns]"),
        "durations": np.array([1, 2], "timedelta64[ms]"),
    }
    for dtype in "? b B h H i I l L q Q e f d".split():
        everywhere[f"array-{np.dtype(dtype).name}-{dtype}"] = np.array([[0, 1], [1, 1]], dtype)
        everywhere[f"scalar-{np.dtype(dtype).name}-{dtype}"] = np.dtype(dtype).type(1)
    everywhere["scalar-text"] = np.str_("reach")
    everywhere["scalar-time"] = np.datetime64(5, "ns")
    return everywhere


def refused() -> dict[str, object]:
    """name -> message that neither side may send."""
    return {
        "object": np.array([None, "a"], object),
        "structure": np.zeros(2, [("x", "f4")]),
        "void": np.void(b"ab"),
        "complex": np.ones(2, np.complex64),
        "complex-scalar": np.complex128(1j),
    }
