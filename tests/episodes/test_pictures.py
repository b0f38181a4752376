"""Pictures inside data files: in the encodings that others use, or as files beside the data."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from tests.episodes.edited import DATA, add_column, change_info
from tests.episodes.samples import make_episode

from presage.episodes.dataset import Dataset
from presage.episodes.survey import survey
from presage.errors import UserError

FEATURE = {"dtype": "image", "shape": [16, 16, 3], "names": ["height", "width", "channels"]}
IMAGES = np.concatenate([make_episode(seed, 4 + seed).frames["front"] for seed in range(4)])
GREY = IMAGES[..., :1].repeat(3, -1)
CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def add_pictures(root: Path, cells: pa.Array, feature: dict = FEATURE) -> Dataset:
    add_column(root / DATA, "observation.images.own", cells)
    change_info(root, lambda info: info["features"].update({"observation.images.own": feature}))
    return Dataset(root)


def inside(encoded: Callable[[Image.Image], bytes], images: np.ndarray = IMAGES) -> pa.Array:
    return pa.array([{"bytes": encoded(Image.fromarray(image)), "path": None} for image in images], CELL)


ENCODINGS: dict[str, tuple[Callable[[Image.Image], bytes], np.ndarray, int]] = {
    "WebP": (lambda image: encode(image, "WEBP", lossless=True), IMAGES, 0),
    "BMP": (lambda image: encode(image, "BMP"), IMAGES, 0),
    "JPEG": (lambda image: encode(image, "JPEG", quality=95, subsampling=0), IMAGES, 40),
    "grey PNG": (lambda image: encode(image.getchannel(0), "PNG"), GREY, 0),
    "with transparency": (lambda image: encode(image.convert("RGBA"), "PNG"), IMAGES, 0),
    "with a palette": (lambda image: encode(image.quantize(256), "PNG"), IMAGES, 12),
    "TIFF": (lambda image: encode(image, "TIFF"), IMAGES, 0),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings(root: Path, name: str) -> None:
    encoded, expected, tolerance = ENCODINGS[name]
    data = add_pictures(root, inside(encoded))
    for position, record in enumerate(data.episodes):
        found = data.frames(position, "own")
        np.testing.assert_allclose(found.astype(int), expected[record.rows].astype(int), atol=tolerance)
        assert all(np.array_equal(data.first_frame(position, c), data.frames(position, c)[0]) for c in ("own", "front"))
    assert survey(root, full=True).damage == []


@pytest.mark.parametrize("form", ["struct", "text", "of another machine", "bytes alone"])
def test_files_and_bytes(root: Path, form: str) -> None:
    folder = root / "images/own"
    folder.mkdir(parents=True)
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{i}.png")
    names = [f"images/own/{i}.png" for i in range(len(IMAGES))]
    cells = {
        "struct": pa.array([{"bytes": None, "path": name} for name in names], CELL),
        "text": pa.array(names),
        "of another machine": pa.array([f"/home/somebody/data/{name}" for name in names]),
        "bytes alone": pa.array([(root / name).read_bytes() for name in names]),
    }[form]
    data = add_pictures(root, cells)
    np.testing.assert_array_equal(data.frames(2, "own"), IMAGES[data.episodes[2].rows])


def test_depth_in_sixteen_bits_is_no_camera(root: Path) -> None:
    depth = np.arange(22 * 256, dtype=np.uint16).reshape(22, 16, 16)
    cells = pa.array([{"bytes": encode(Image.fromarray(image), "PNG"), "path": None} for image in depth], CELL)
    data = add_pictures(root, cells, {**FEATURE, "shape": [16, 16, 1]})
    found = survey(root)
    assert data.cameras == ["front", "top"] and found.damage == []
    assert found.unread == ["observation.images.own (depth)"]


def test_pictures_by_channel_come_first_in_info(root: Path) -> None:
    feature = {**FEATURE, "shape": [3, 16, 16], "names": ["channels", "height", "width"]}
    data = add_pictures(root, inside(lambda image: encode(image, "PNG")), feature)
    assert data.features["observation.images.own"]["shape"] == [16, 16, 3]
    assert survey(root, full=True).damage == []


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ({"bytes": b"nothing", "path": None}, "is damaged \\(no known format of pictures\\)"),
        ({"bytes": None, "path": None}, "is missing: neither bytes nor the path of a file"),
        ({"bytes": None, "path": "images/gone.png"}, "is missing: no file 'images/gone.png' in the dataset"),
        ({"bytes": encode(Image.fromarray(IMAGES[0]).resize((8, 8)), "PNG"), "path": None}, "is of another size"),
        ({"bytes": encode(Image.fromarray(IMAGES[0]), "PNG")[:90], "path": None}, "is damaged"),
    ],
)
def test_a_picture_that_cannot_be_read(root: Path, cell: dict, says: str) -> None:
    cells = inside(lambda image: encode(image, "PNG")).to_pylist()
    cells[5] = cell
    data = add_pictures(root, pa.array(cells, CELL))
    assert len(data.frames(0, "own")) == 4
    with pytest.raises(UserError, match=f"picture 1 of 'observation.images.own' in episode 1 {says}.*leave it out"):
        data.frames(1, "own")
    assert len(Dataset(root, [0, 2, 3]).frames(1, "own")) == 6
