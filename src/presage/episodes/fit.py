"""Any picture as the square that a model sees: cropped or letterboxed, several cameras tiled into one."""

import math
from collections.abc import Sequence
from typing import Literal

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from presage.episodes.video import Convert
from presage.errors import UserError

Fit = Literal["crop", "letterbox"]
"""crop: the central square, what lies beside it is lost. letterbox: the whole picture between black bars."""


def squares(size: int, fit: Fit) -> Convert:
    """A function (H, W, 3) uint8 -> (size, size, 3) uint8 that averages over the pixels it joins.

    It keeps the scaler's tables between calls: make one per thread.
    """
    reformatter = VideoReformatter()

    def scale(image: np.ndarray, height: int, width: int) -> np.ndarray:
        if image.shape[:2] == (height, width):
            return image
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        scaled = reformatter.reformat(frame, width=width, height=height, interpolation=Interpolation.AREA, threads=1)
        return scaled.to_ndarray()

    def crop(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return scale(image[top : top + side, left : left + side], size, size)

    def letterbox(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        inner = [max(1, round(size * side / max(height, width))) for side in (height, width)]
        top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
        square = np.zeros((size, size, 3), np.uint8)
        square[top : top + inner[0], left : left + inner[1]] = scale(image, *inner)
        return square

    return crop if fit == "crop" else letterbox


def restored(square: np.ndarray, around: np.ndarray, fit: Fit) -> np.ndarray:
    """The inverse of `squares`: what a model shows (S, S, 3) as a picture like `around` (H, W, 3). What the square does
    not show, beside a crop, is taken from there."""
    height, width = around.shape[:2]
    short, long = sorted((height, width))
    if fit == "letterbox":
        inner = [max(1, round(len(square) * side / long)) for side in (height, width)]
        top, left = ((len(square) - side) // 2 for side in inner)
        return _enlarged(square[top : top + inner[0], left : left + inner[1]], height, width)
    top, left = (height - short) // 2, (width - short) // 2
    whole = around.copy()
    whole[top : top + short, left : left + short] = _enlarged(square, short, short)
    return whole


def _enlarged(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    bicubic = Interpolation.BICUBIC
    return VideoReformatter().reformat(frame, width=width, height=height, interpolation=bicubic, threads=1).to_ndarray()


def same_proportions(size: Sequence[int], other: Sequence[int]) -> bool:
    """Whether pictures of one size (height, width) are those of the other one scaled, to a pixel of `other`."""
    return abs(size[0] * other[1] - size[1] * other[0]) <= max(other)


def of_proportions(convert: Convert, size: Sequence[int], where: str) -> Convert:
    """`convert`, of pictures in the proportions of `size` (height, width) alone; of others it raises UserError."""

    def checked(image: np.ndarray) -> np.ndarray:
        if not same_proportions(image.shape[:2], size):
            raise UserError(
                f"{where} are {image.shape[0]} x {image.shape[1]} (height x width), meta/info.json says {size[0]} x "
                f"{size[1]}; correct 'shape' there, or leave the episode out (--episodes, or presage dataset filter)"
            )
        return convert(image)

    return checked


def as_recorded(image: np.ndarray, recorded: Sequence[int] | None, camera: str) -> np.ndarray:
    """A picture (H, W, 3) in the proportions of `recorded` (height, width): itself, or what black bars surround that
    openpi's `resize_with_pad` puts around it. None: nothing is known of the recorded ones.

    Raises:
        UserError: it has other proportions.
    """
    if recorded is None or same_proportions(image.shape[:2], recorded):
        return image
    outer, ratio = image.shape[:2], max(recorded[0] / image.shape[0], recorded[1] / image.shape[1])
    shown: list[slice] = []
    for axis in (0, 1):
        inner = max(1, int(recorded[axis] / ratio))
        first = (outer[axis] - inner) // 2
        bright = np.flatnonzero(image.any(axis=(1 - axis, 2)))
        if bright.size and not first - 1 <= bright[0] <= bright[-1] <= first + inner:  # whoever padded rounds otherwise
            raise UserError(
                f"pictures of camera {camera!r} are {outer[0]} x {outer[1]} (height x width), training saw "
                f"{recorded[0]} x "
                f"{recorded[1]}: send them in those proportions, whole or padded with black"
            )
        end = max([first + inner, *bright[-1:] + 1])
        shown.append(slice(min([first, *bright[:1]]), end))
    return image[shown[0], shown[1]]


def scaled(image: np.ndarray, short_side: int | None) -> np.ndarray:
    """(H, W, 3) with the shorter side at `short_side` pixels and both sides even, as 4:2:0 video needs them."""
    return _even(image, 1.0 if short_side is None else short_side / min(image.shape[:2]))


def scaled_to_height(image: np.ndarray, pixels: int) -> np.ndarray:
    """(H, W, 3) at a height of `pixels`, both sides even."""
    return _even(image, pixels / image.shape[0])


def _even(image: np.ndarray, factor: float) -> np.ndarray:
    height, width = (max(2, 2 * round(side * factor / 2)) for side in image.shape[:2])
    if image.shape[:2] == (height, width):
        return image
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    area = Interpolation.AREA
    return VideoReformatter().reformat(frame, width=width, height=height, interpolation=area, threads=1).to_ndarray()


def cell_size(size: int, cameras: int) -> int:
    """Pixels a side of each of several cameras tiled into a square of `size`."""
    return size // math.ceil(math.sqrt(cameras))


def tile(images: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Pictures (..., cell, cell, 3) of several cameras as one (..., size, size, 3), row by row; the rest is black."""
    if len(images) == 1:
        return images[0]
    cell, across = images[0].shape[-2], math.ceil(math.sqrt(len(images)))
    square = np.zeros((*images[0].shape[:-3], size, size, 3), np.uint8)
    for number, image in enumerate(images):
        top, left = cell * (number // across), cell * (number % across)
        square[..., top : top + cell, left : left + cell, :] = image
    return square


def untile(square: np.ndarray, cameras: int) -> list[np.ndarray]:
    """The inverse of `tile`: one picture (..., cell, cell, 3) of each of so many cameras."""
    cell, across = cell_size(square.shape[-2], cameras), math.ceil(math.sqrt(cameras))
    if cameras == 1:
        return [square]
    places = [(cell * (number // across), cell * (number % across)) for number in range(cameras)]
    return [square[..., top : top + cell, left : left + cell, :] for top, left in places]
