"""Pictures as strangers hand them over, in presage's form wherever they can mean one thing only."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from presage.errors import UserError

SIDES = (8, 4096)
"""Pixels of the shortest and the longest side of a robot's picture."""
ROUNDING = 1e-3
"""How far beyond 0 and 1 a picture of floats may lie."""


def as_picture(value: Any) -> np.ndarray | None:
    """A picture as (H, W, 3) uint8: channels first or last, with a batch axis of one or without, integers in 0..255 or
    floats in 0..1. None: it is none, or may be several things. Floats beyond 1 are of another scale: who uses it would
    one day send a picture so dark that it passes for one in 0..1."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "uif":
        return None
    image = value[0] if value.ndim == 4 and len(value) == 1 else value
    if image.ndim != 3 or 3 not in (image.shape[0], image.shape[2]) or not image.size:
        return None
    if image.shape[2] != 3 or (image.shape[0] == 3 and image.shape[1] < SIDES[0]):
        image = image.transpose(1, 2, 0)
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    low, high = float(image.min()), float(image.max())
    if image.dtype.kind == "f":
        fits = -ROUNDING <= low and high <= 1 + ROUNDING  # NaN does not
        return np.rint(image.clip(0, 1) * 255).astype(np.uint8) if fits else None
    return np.ascontiguousarray(image.astype(np.uint8)) if low >= 0 and high <= 255 else None


def as_squares(images: np.ndarray, size: int, name: str) -> np.ndarray:
    """Square pictures (B, 3, S, S) of LeRobot as a model of presage's own recordings sees them: (B, size, size, 3)
    uint8.

    Raises:
        UserError: they are not square, or not pictures.
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise UserError(
            f"{name!r} is {images.shape}, training saw squares: give (batch, 3, side, side) of the same view"
        )
    pictures = [picture for picture in map(as_picture, images) if picture is not None]
    if len(pictures) < len(images):
        raise UserError(f"{name!r} is {images.shape} {images.dtype}: give pictures as uint8, or as floats in 0..1")
    squares = np.stack(pictures)
    if squares.shape[1] == size:
        return squares
    scaled = F.interpolate(torch.from_numpy(squares).permute(0, 3, 1, 2).float(), size=(size, size), mode="area")
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
