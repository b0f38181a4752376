"""What robots' clients send is read where it can mean one thing only."""

from dataclasses import replace

import numpy as np
import pytest

from presage.episodes.fit import as_recorded
from presage.errors import UserError
from presage.interface.request import Terms, as_picture, read_request

PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
TERMS = Terms(["front"], (8, 4096), 4, (("joint_position", 3), ("gripper_position", 1)))
STATE = np.arange(4)

FORMS = {
    "as it is": PICTURE,
    "channels first (ALOHA)": PICTURE.transpose(2, 0, 1),
    "with a batch axis": PICTURE[None],
    "channels first, with a batch axis": PICTURE.transpose(2, 0, 1)[None],
    "float in 0..1": np.float32(PICTURE) / 255,
    "float in 0..1, channels first": np.float32(PICTURE.transpose(2, 0, 1)) / 255,
    "whole numbers as float": PICTURE.astype(np.float64),
    "whole numbers as int64": PICTURE.astype(np.int64),
    "a view": np.repeat(PICTURE, 2, 1)[:, ::2],
}


@pytest.mark.parametrize("form", FORMS)
def test_pictures_of_every_clear_form(form: str) -> None:
    request = read_request({"image.front": FORMS[form], "state": STATE, "prompt": "reach"}, TERMS)
    assert np.array_equal(request.observation["image.front"], PICTURE[None])
    assert request.observation["image.front"].dtype == np.uint8


UNCLEAR = {
    "float in -1..1": np.float32(PICTURE) / 127.5 - 1,
    "float between the grey levels": np.float32(PICTURE) * 0.7,
    "not a number": np.full((48, 64, 3), np.nan),
    "beyond 255": PICTURE.astype(np.int64) + 1,
    "grey": PICTURE[..., 0],
    "grey with an axis": PICTURE[..., :1],
    "four channels": np.concatenate([PICTURE, PICTURE[..., :1]], -1),
    "two pictures": np.stack([PICTURE, PICTURE]),
    "compressed": b"\xff\xd8\xff",
    "a list": PICTURE.tolist(),
    "true or false": PICTURE > 100,
}


@pytest.mark.parametrize("form", UNCLEAR)
def test_pictures_that_may_mean_several_things_are_refused(form: str) -> None:
    assert as_picture(UNCLEAR[form]) is None
    with pytest.raises(UserError, match="image.front is .*; expected: image.front .* uint8, or float in 0..1"):
        read_request({"image.front": UNCLEAR[form], "state": STATE, "prompt": "reach"}, TERMS)


def test_names_of_droids_and_liberos_clients() -> None:
    droid = {
        "observation/exterior_image_1_left": PICTURE,
        "observation/joint_position": STATE[:3],
        "observation/gripper_position": STATE[3:],
        "prompt": "reach",
    }
    request = read_request(droid, replace(TERMS, cameras=["exterior_image_1_left"]))
    assert request.observation["state"].tolist() == [[0, 1, 2, 3]]
    libero = {"observation/image": PICTURE, "observation/wrist_image": PICTURE[::-1], "observation/state": STATE}
    request = read_request(libero | {"prompt": "reach"}, replace(TERMS, cameras=["image", "wrist_image"]))
    assert np.array_equal(request.observation["image.wrist_image"][0], PICTURE[::-1])


def test_parts_of_the_state_that_do_not_make_it_up_are_not_guessed() -> None:
    parts = {"observation/joint_position": STATE, "observation/gripper_position": STATE[3:]}
    with pytest.raises(UserError, match="has no state"):
        read_request({"image.front": PICTURE, "prompt": "reach", **parts}, TERMS)


@pytest.mark.parametrize("state", [STATE.astype(np.float16), STATE.astype(">f8"), STATE.tolist(), STATE.astype(np.int64)])
def test_states_of_every_type_of_number(state: object) -> None:
    request = read_request({"image.front": PICTURE, "state": state, "prompt": "reach"}, TERMS)
    assert request.observation["state"].dtype == np.float32 and request.observation["state"].tolist() == [[0, 1, 2, 3]]


def test_an_instruction_may_be_as_long_as_one_of_training() -> None:
    words = "push the cube " * 10_000
    assert read_request({"image.front": PICTURE, "state": STATE, "prompt": words}, TERMS).prompt == words


@pytest.mark.parametrize("said", [{}, {"prompt": None}, {"prompt": ""}, {"prompt": " "}])
def test_a_model_without_instructions_needs_no_prompt(said: dict[str, object]) -> None:
    message = {"image.front": PICTURE, "state": STATE, **said}
    assert read_request(message, replace(TERMS, prompt="do the task")).prompt == "do the task"
    with pytest.raises(UserError, match="prompt"):
        read_request(message, TERMS)


# -- pictures of other proportions than training saw ------------------------------------------------------------------


def padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Between black bars, as openpi's `resize_with_pad` puts a picture that needs no scaling."""
    out = np.zeros((height, width, 3), np.uint8)
    top, left = (height - len(picture)) // 2, (width - picture.shape[1]) // 2
    out[top : top + len(picture), left : left + picture.shape[1]] = picture
    return out


@pytest.mark.parametrize("size", [(64, 64), (48, 200), (100, 64), (65, 64)])
def test_black_bars_are_cut_off(size: tuple[int, int]) -> None:
    assert np.array_equal(as_recorded(padded(PICTURE, *size), [480, 640], "front"), PICTURE)


def test_scaled_pictures_are_taken_and_other_proportions_refused() -> None:
    assert as_recorded(PICTURE, [240, 320], "front") is PICTURE and as_recorded(PICTURE, None, "front") is PICTURE
    with pytest.raises(UserError, match=r"'front' are 48 x 64 \(height x width\), training saw 64 x 64"):
        as_recorded(PICTURE, [64, 64], "front")
