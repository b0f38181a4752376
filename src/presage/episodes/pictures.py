"""Pictures inside data files (features of dtype "image"), in every encoding that Pillow knows, or as files beside
them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from presage.errors import UserError

_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I", "F")


def decode_picture(cell: Any, root: Path, data_file: Path) -> np.ndarray:
    """A cell as (H, W, 3) uint8 RGB: {bytes, path}, bytes alone, or the path of a file.

    Grey pictures become coloured ones, transparency is left away, orientation is applied.

    Raises:
        UserError: it is missing, damaged, or has more than 8 bits a channel, as depth maps have.
    """
    try:
        with _open(cell, root, data_file) as image:
            if image.mode in _DEEP_MODES:
                raise UserError(
                    "more than 8 bits a channel, like a depth map; choose the colour cameras with --cameras"
                )
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UserError:
        raise
    except Exception as error:  # decoders raise whatever they stumble over in damaged data
        raise UserError(f"damaged ({_reason(error)})") from error


def is_deep(cell: Any, root: Path, data_file: Path) -> bool:
    """Whether a cell holds more than 8 bits a channel: a depth map, no camera's picture. False where it cannot be
    read."""
    try:
        with _open(cell, root, data_file) as image:
            return image.mode in _DEEP_MODES
    except Exception:  # decoders raise whatever they stumble over; it is said when the picture is read
        return False


def picture_source(cell: Any, root: Path, data_file: Path) -> bytes | Path:
    """Where a cell's picture is decoded from: its bytes, or a file.

    Raises:
        UserError: it names none that is there.
    """
    data = cell.get("bytes") if isinstance(cell, dict) else cell if isinstance(cell, bytes) else None
    if data:
        return data
    said = cell.get("path") if isinstance(cell, dict) else cell
    if not isinstance(said, str) or not said:
        raise UserError("missing: neither bytes nor the path of a file")
    return find_picture(said, root, data_file)


def _open(cell: Any, root: Path, data_file: Path) -> Image.Image:
    source = picture_source(cell, root, data_file)
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def find_picture(said: str, root: Path, data_file: Path) -> Path:
    """Relative to the dataset, or to the data file; of another machine's path what begins at a folder that is here.

    Raises:
        UserError: there is no such file.
    """
    parts = Path(said).parts
    tails = [Path(*parts[i:]) for i in range(len(parts))] if Path(said).is_absolute() else [Path(said)]
    for place in (root, root / "images", data_file.parent):
        for tail in tails:
            if (place / tail).is_file():
                return place / tail
    raise UserError(f"missing: no file {said!r} in the dataset")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no known format of pictures"
    return (str(error).splitlines() or [type(error).__name__])[0]
