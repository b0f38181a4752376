"""Pictures of LeRobot's batches, as a model of presage's own recordings sees them. (Other forms: test_request.py.)"""

import numpy as np
import pytest

from presage.errors import UserError
from presage.serving.pictures import as_squares

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
FIRST = PICTURES.transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    "images", [FIRST, np.float32(FIRST) / 255, FIRST.astype(np.int64)], ids=["uint8", "float", "int64"]
)
def test_squares_are_taken_as_they_are(images: np.ndarray) -> None:
    assert np.array_equal(as_squares(images, 32, "front"), PICTURES)


def test_other_sizes_are_averaged() -> None:
    halves = PICTURES.reshape(2, 16, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(as_squares(np.float32(FIRST) / 255, 16, "front") - halves).max() <= 0.5


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (FIRST[..., :24, :], "'front' is \\(2, 3, 24, 32\\), training saw squares"),
        (FIRST[0], "training saw squares"),
        (np.float32(FIRST) / 127.5 - 1, "as uint8, or as floats in 0..1"),
        (np.float32(FIRST), "as uint8, or as floats in 0..1"),
        (np.concatenate([np.float32(FIRST[:1]) / 255, np.float32(FIRST[1:])]), "floats in 0..1"),
        (FIRST[:, :1], "as uint8"),
    ],
)
def test_what_training_did_not_see_is_refused(images: np.ndarray, says: str) -> None:
    with pytest.raises(UserError, match=says):
        as_squares(images, 32, "front")
