"""Entries of `features` in info.json, in one form whatever wrote them.

`read_feature` is the only place that looks at the raw entry. Behind it `dtype` is `image`, `video`, `string`, the numpy
name of a type of numbers, or a word that presage does not know; `shape` is a list of whole numbers, of pictures always
height, width, channels. Features of unknown types, or without a fixed shape, are listed and carried along, not read.
"""

import math
from typing import Any

import numpy as np

from presage.errors import UserError

Feature = dict[str, Any]
PICTURES = ("image", "video")
AXES = ["height", "width", "channels"]
_SAME_TYPE = {"str": "string", "text": "string", "large_string": "string", "boolean": "bool"}
_AXIS = {"h": 0, "height": 0, "w": 1, "width": 1, "c": 2, "ch": 2, "rgb": 2, "channel": 2, "channels": 2}
_MOST_CHANNELS = 4
_MOST_NUMBERS, _MOST_PIXELS = 4_000_000, 65_536
"""Numbers in a row of a column; pixels of a side of a picture."""
_BLOCKS = ("info", "video_info")


def whole(value: Any) -> int | None:
    """A whole number from 30, 30.0 or "30"; None where it is none."""
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def number(value: Any) -> float | None:
    """A finite number from a number or its text; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if np.isfinite(found) else None


def read_feature(name: str, raw: Any, where: str) -> Feature:
    """The entry of a feature in presage's form; keys that presage does not know are kept.

    Raises:
        UserError: it is no description, or a picture or number without a shape.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("dtype"), str):
        said = raw.get("dtype") if isinstance(raw, dict) else raw
        raise UserError(
            f"{where}: feature {name!r} has dtype {said!r}; write float32, int64, bool, string, image or video"
        )
    raw = {key: value for key, value in raw.items() if key not in _BLOCKS or isinstance(value, dict)}
    dtype = _plain_type(raw["dtype"])
    names = raw.get("names") if isinstance(raw.get("names"), list | dict) else None
    shape = _whole_shape(raw.get("shape"))
    if dtype in PICTURES:
        size = _picture_size(shape, names) or _size_told(video_info(raw))
        if size is None or max(size) > _MOST_PIXELS:
            raise _no_shape(where, name, raw, "height, width, channels")
        order = ["height", "width", "channel"] if isinstance(names, list) and "channel" in names else AXES
        return {**raw, "dtype": dtype, "shape": list(size), "names": order}
    if _is_number_type(dtype) and (shape is None or math.prod(abs(side) for side in shape) > _MOST_NUMBERS):
        raise _no_shape(where, name, raw, "its sides")
    return {**raw, "dtype": dtype, "shape": shape or [1], "names": names}


def picture_size(feature: Feature) -> tuple[int, int, int]:
    """Height, width and channels of a camera's feature, whatever order its axes are in.

    Raises:
        ValueError: the shape is not that of a picture.
    """
    size = _picture_size(_whole_shape(feature["shape"]), feature.get("names"))
    if size is None:
        raise ValueError(f"not the shape of a picture: {feature['shape']}")
    return size


def is_numeric(feature: Feature) -> bool:
    """Whether every row holds numbers of one known shape."""
    return _is_number_type(feature["dtype"]) and all(side > 0 for side in feature["shape"])


def is_readable(feature: Feature) -> bool:
    """Whether it is a column of numbers or texts."""
    return is_numeric(feature) or (feature["dtype"] == "string" and feature["shape"] == [1])


def is_camera(feature: Feature) -> bool:
    """Pictures in colour or grey; depth maps are pictures too, but of distances."""
    return feature["dtype"] in PICTURES and not is_depth(feature)


def is_depth(feature: Feature) -> bool:
    """Whether a picture is said to show distances: by a flag, or by a grey format with more than 8 bits."""
    info = video_info(feature)
    flags = (info.get("is_depth_map"), info.get("video.is_depth_map"), feature.get("is_depth_map"))
    layout = info.get("video.pix_fmt")
    deep = isinstance(layout, str) and layout.startswith("gray") and layout not in ("gray", "gray8")
    return any(str(flag).lower() in ("true", "1") for flag in flags) or deep


def video_info(feature: Feature) -> dict[str, Any]:
    """What is said of a video's encoding, under either of the keys in use."""
    return next((feature[key] for key in _BLOCKS if isinstance(feature.get(key), dict) and feature[key]), {})


def _plain_type(dtype: str) -> str:
    dtype = _SAME_TYPE.get(dtype, dtype)
    return np.dtype(dtype).name if _is_number_type(dtype) else dtype


def _is_number_type(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in "biuf"
    except (TypeError, ValueError, SyntaxError):
        return False


def _whole_shape(shape: Any) -> list[int] | None:
    """Sides as whole numbers, -1 where one varies; None where it is no shape."""
    sides = shape if isinstance(shape, list | tuple) else [shape]
    found = [-1 if side is None and isinstance(shape, list | tuple) else whole(side) for side in sides]
    return None if any(side is None or side < -1 for side in found) else found or [1]  # type: ignore[return-value]


def _picture_size(shape: list[int] | None, names: Any) -> tuple[int, int, int] | None:
    """By the names of the axes where they can be true, else by where the channels can be."""
    if shape is None or min(shape) < 1:
        return None
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if len(shape) != 3:
        return None
    axes = [_AXIS.get(str(name).lower()) for name in names] if isinstance(names, list) else []
    if sorted(axes, key=str) == [0, 1, 2] and shape[axes.index(2)] <= _MOST_CHANNELS:
        return shape[axes.index(0)], shape[axes.index(1)], shape[axes.index(2)]
    if shape[2] > _MOST_CHANNELS and shape[0] <= _MOST_CHANNELS:
        return shape[1], shape[2], shape[0]
    return shape[0], shape[1], shape[2]


def _size_told(info: dict[str, Any]) -> tuple[int, int, int] | None:
    height, width, channels = (whole(info.get(f"video.{name}")) for name in AXES)
    return (height, width, channels or 3) if height and width and min(height, width) > 0 else None


def _no_shape(where: str, name: str, raw: Feature, wanted: str) -> UserError:
    return UserError(
        f"{where}: feature {name!r} has shape {raw.get('shape')!r}; write {wanted} as a list of whole numbers"
    )
