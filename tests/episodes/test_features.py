"""Entries of info.json in one form: shapes by their axes' names, types by their usual names."""

from typing import Any

import pytest

from presage.episodes.features import is_camera, is_depth, is_numeric, picture_size, read_feature
from presage.errors import UserError

SHAPES: list[tuple[list[int], Any, tuple[int, int, int]]] = [
    ([48, 64, 3], ["height", "width", "channels"], (48, 64, 3)),
    ([3, 48, 64], ["channels", "height", "width"], (48, 64, 3)),
    ([3, 48, 64], ["channel", "height", "width"], (48, 64, 3)),
    ([64, 48, 3], ["width", "height", "channels"], (48, 64, 3)),
    ([3, 48, 64], ["height", "width", "channels"], (48, 64, 3)),
    ([3, 48, 64], None, (48, 64, 3)),
    ([48, 64, 3], ["channels", "height", "width"], (48, 64, 3)),
    ([1, 48, 64], ["c", "h", "w"], (48, 64, 1)),
    ([48, 64], ["height", "width"], (48, 64, 1)),
    ([3, 4, 3], ["height", "width", "channels"], (3, 4, 3)),
]


@pytest.mark.parametrize(("shape", "names", "size"), SHAPES)
def test_pictures_are_height_width_channels(shape: list[int], names: Any, size: tuple[int, int, int]) -> None:
    feature = read_feature("front", {"dtype": "video", "shape": shape, "names": names, "own": 1}, "info.json")
    assert feature["shape"] == list(size) and feature["own"] == 1
    assert feature["names"][:2] == ["height", "width"]
    assert picture_size({"shape": shape, "names": names}) == size


def test_a_size_is_taken_from_the_encoding_where_no_shape_is() -> None:
    raw = {"dtype": "video", "shape": None, "info": {"video.height": 48, "video.width": 64}}
    assert read_feature("front", raw, "info.json")["shape"] == [48, 64, 3]


@pytest.mark.parametrize(
    ("raw", "dtype", "shape"),
    [
        ({"dtype": "float", "shape": [2]}, "float64", [2]),
        ({"dtype": "float32", "shape": 3}, "float32", [3]),
        ({"dtype": "float32", "shape": ["2", 3.0]}, "float32", [2, 3]),
        ({"dtype": "float32", "shape": []}, "float32", [1]),
        ({"dtype": "float32", "shape": [None]}, "float32", [-1]),
        ({"dtype": "boolean", "shape": [1]}, "bool", [1]),
        ({"dtype": "str", "shape": [1]}, "string", [1]),
        ({"dtype": "language"}, "language", [1]),
    ],
)
def test_types_and_shapes(raw: dict, dtype: str, shape: list[int]) -> None:
    feature = read_feature("x", {"names": 7, "info": 3, **raw}, "info.json")
    assert (feature["dtype"], feature["shape"], feature["names"]) == (dtype, shape, None) and "info" not in feature
    assert is_numeric(feature) == (dtype in ("float64", "float32", "bool") and shape != [-1])


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (None, "has dtype None; write float32, int64"),
        ({"dtype": 3}, "has dtype 3; write"),
        ({"dtype": "video", "shape": [3]}, r"has shape \[3\]; write height, width, channels"),
        ({"dtype": "image", "shape": [0, 4, 3]}, "has shape"),
        ({"dtype": "float32", "shape": ["a"]}, "has shape .'a'.; write its sides"),
        ({"dtype": "float32", "shape": [10**9]}, "has shape"),
    ],
)
def test_what_is_no_feature(raw: Any, says: str) -> None:
    with pytest.raises(UserError, match=f"^info.json: feature 'x' {says}"):
        read_feature("x", raw, "info.json")


def test_depth_is_no_camera() -> None:
    plain = {"dtype": "video", "shape": [4, 4, 3], "names": None}
    assert is_camera(plain)
    for info in ({"is_depth_map": True}, {"video.is_depth_map": 1}, {"video.pix_fmt": "gray16le"}):
        assert is_depth({**plain, "info": info}) and not is_camera({**plain, "video_info": info})
    assert is_camera({**plain, "info": {"is_depth_map": "false", "video.pix_fmt": "gray"}})
