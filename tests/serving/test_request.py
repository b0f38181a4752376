"""What robots' clients send is read where it can mean one thing only."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from tests.embodied import ARM

from presage.episodes.fit import as_recorded
from presage.episodes.naming import Columns
from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.episodes.steps import NO_INSTRUCTION
from presage.errors import UserError
from presage.policy.embodied import Embodiment
from presage.serving.pictures import as_picture
from presage.serving.request import Terms, read_request

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
    "float16 in 0..1": (PICTURE / 255).astype(np.float16),
    "float in 0..1 of another byte order": (PICTURE / 255).astype(">f8"),
    "float in 0..1 that rounding left": np.float32(PICTURE) / 255 * 1.0002 - 0.0001,
    "whole numbers as int64": PICTURE.astype(np.int64),
    "whole numbers of another byte order": PICTURE.astype(">u2"),
    "a view": np.repeat(PICTURE, 2, 1)[:, ::2],
}


@pytest.mark.parametrize("form", FORMS)
def test_pictures_of_every_clear_form(form: str) -> None:
    request = read_request({"image.front": FORMS[form], "state": STATE, "prompt": "reach"}, TERMS)
    assert np.array_equal(request.observation["image.front"], PICTURE[None])
    assert request.observation["image.front"].dtype == np.uint8


UNCLEAR = {
    "float in -1..1": np.float32(PICTURE) / 127.5 - 1,
    "float in 0..255": np.float32(PICTURE),
    "below 0": PICTURE.astype(np.int64) - 1,
    "no pixels": PICTURE[:0],
    "an axis too many": PICTURE[None, None],
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


def seen(sent: dict[str, object], *cameras: str) -> dict[str, int]:
    """Camera -> grey level of its picture, of a model without state."""
    request = read_request({"prompt": "reach", **sent}, Terms(list(cameras), (8, 4096), 0))
    return {name.removeprefix("image."): int(x.max()) for name, x in request.observation.items()}


def grey(level: int) -> np.ndarray:
    return np.full((48, 64, 3), level, np.uint8)


def test_the_word_image_in_a_name_says_nothing() -> None:
    """DROID as LeRobot records it, and as openpi's client sends it."""
    sent = {"observation/exterior_image_1_left": grey(1), "observation/wrist_image_left": grey(2)}
    assert seen(sent, "exterior_1_left", "wrist_left") == {"exterior_1_left": 1, "wrist_left": 2}
    assert seen(sent | {"observation/wrist_left": grey(3)}, "wrist_left") == {
        "wrist_left": 3
    }  # the very name goes first


def test_a_picture_that_names_no_camera_is_the_only_ones() -> None:
    assert seen({"observation/image": grey(1)}, "front") == {"front": 1}
    for cameras in (["front", "wrist"], ["wrist"]):
        with pytest.raises(UserError, match="has no image.*; sent: prompt, image, base"):
            seen({"observation/image": grey(1), "observation/base": grey(2)}, *cameras)


def test_a_picture_whose_camera_is_not_certain_is_not_guessed() -> None:
    with pytest.raises(UserError, match="has no image.wrist; expected: .*; sent: prompt, image_wrist, wrist_image"):
        seen({"image_wrist": grey(1), "wrist_image": grey(2)}, "wrist")
    with pytest.raises(UserError, match="has no image.front_image, image.front; expected"):
        seen({"front/image": grey(1)}, "front_image", "front")


def test_cameras_that_nobody_looks_through_are_left_out() -> None:
    aloha = {"images": {"cam_high": grey(1).transpose(2, 0, 1), "cam_low": grey(2).transpose(2, 0, 1)}}
    assert seen(aloha, "cam_high") == {"cam_high": 1}


def test_parts_of_the_state_that_do_not_make_it_up_are_not_guessed() -> None:
    parts = {"observation/joint_position": STATE, "observation/gripper_position": STATE[3:]}
    with pytest.raises(UserError, match="has no state"):
        read_request({"image.front": PICTURE, "prompt": "reach", **parts}, TERMS)


@pytest.mark.parametrize(
    ("state", "parts"),
    [
        ([("joint_position", 7), ("gripper_position", 1)], (("joint_position", 7), ("gripper_position", 1))),
        ([("observation.state", ["joint_0", "joint_1", "gripper"])], (("joint_position", 2), ("gripper_position", 1))),
        ([("observation.state", ["x", "y", "gripper"])], (("state", 3),)),  # no joints: DROID's are something else
        ([("observation.state", 3)], (("state", 3),)),
        ([("observation.state", ["gripper"])], (("state", 1),)),
        ([], ()),
    ],
)
def test_a_state_is_taken_in_the_parts_that_it_was_recorded_in(state, parts) -> None:
    columns = [
        Columns(name, list(range(n)), [f"{name}[{i}]" for i in range(n)])
        if isinstance(n, int)
        else Columns(name, list(range(len(n))), n)
        for name, n in state
    ]
    assert Terms.of_robot(body(replace(ARM, state=columns))).parts == parts


def state_of(sent: dict[str, object], *parts: tuple[str, int]) -> list[float]:
    request = read_request({"image.front": PICTURE, "prompt": "reach", **sent}, replace(TERMS, parts=parts))
    return request.observation["state"][0].tolist()


def test_parts_of_the_state_are_found_by_the_end_of_their_name() -> None:
    """DROID as LeRobot records it names them `observation.state.joint_position`."""
    parts = (("state.gripper_position", 1), ("state.joint_position", 3))
    sent = {"observation/joint_position": STATE[:3], "observation/gripper_position": 9.0}
    assert state_of(sent, *parts) == [9, 0, 1, 2]
    whole = {"observation": {"state": {"joint_position": STATE[1:], "gripper_position": [5]}}}
    assert state_of(sent | whole, *parts) == [5, 1, 2, 3]  # the very names go first


def test_a_part_that_may_be_of_either_arm_is_not_guessed() -> None:
    sent = {"joint_position": STATE[:2], "gripper_position": STATE[2:]}
    with pytest.raises(UserError, match="has no state"):
        state_of(sent, ("left.joint_position", 2), ("right.joint_position", 2))
    with pytest.raises(UserError, match="has no state"):
        state_of({"position": STATE[:2], "joint.position": STATE[:2]}, ("arm.joint.position", 2), ("effort", 2))


def test_columns_out_of_order_are_asked_for_as_one_state() -> None:
    swapped = [Columns("joint_position", [1, 0], ["b", "a"]), Columns("gripper_position", [0], ["g"])]
    assert Terms.of_robot(body(replace(ARM, state=swapped))).parts == ()


def test_where_nobody_said_what_is_done_the_prompt_is_what_training_filled_in() -> None:
    assert Terms.of_robot(body(replace(ARM, instructed=False))).prompt == NO_INSTRUCTION
    assert Terms.of_robot(body(ARM)).prompt is None


def body(robot: Robot) -> Embodiment:
    return Embodiment(robot.name, robot, Slots.of([robot]), 32, [0.0] * len(robot.state_names))


STATES = [
    STATE.astype(np.float16),
    STATE.astype(">f8"),
    STATE.tolist(),
    STATE.astype(np.int64),
    STATE[None],
    [[0, 1, 2, 3]],
    list(STATE.astype(np.float32)),
]


@pytest.mark.parametrize("state", [*STATES, np.repeat(STATE, 2)[::2]])
def test_states_of_every_type_of_number(state: object) -> None:
    request = read_request({"image.front": PICTURE, "state": state, "prompt": "reach"}, TERMS)
    assert request.observation["state"].dtype == np.float32 and request.observation["state"].tolist() == [[0, 1, 2, 3]]


def nested(levels: int) -> list:
    found: list = [0.0]
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize(
    "sent",
    [
        {"state": ["x" * 20_000] + [""] * 2_000},
        {"state": [["x" * 20_000], *[[""]] * 2_000]},
        {"joint_position": STATE[:3], "gripper_position": ["x" * 20_000] + [""] * 2_000},
    ],
)
def test_a_list_of_texts_is_refused_before_it_takes_room(sent: dict[str, object]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="state.*expected: .*state \\(4,\\) numbers"):
            read_request({"image.front": PICTURE, "prompt": "reach", **sent}, TERMS)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "state", [nested(100_000), [0, 1, 2, True], [0, 1, 2, None], ["0", "1", "2", "3"], [[0], [1, 2]]]
)
def test_lists_that_are_not_numbers_are_no_state(state: list) -> None:
    with pytest.raises(UserError, match="state is list; expected: .*state \\(4,\\) numbers"):
        read_request({"image.front": PICTURE, "state": state, "prompt": "reach"}, TERMS)


def test_a_state_of_one_number_needs_no_brackets() -> None:
    for one in (0.5, np.float32(0.5), np.array(0.5), [0.5]):
        request = read_request({"image.front": PICTURE, "state": one, "prompt": "reach"}, replace(TERMS, state_dim=1))
        assert request.observation["state"].tolist() == [[0.5]]


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"images": {"front": PICTURE[::-1]}}, "image.front"),
        ({"observation": {"state": STATE + 1}}, "state"),
        ({"observation/prompt": "lift"}, "prompt"),
        ({"reset": False, "observation.reset": True}, "reset"),
    ],
)
def test_what_is_sent_twice_is_refused(more: dict[str, object], name: str) -> None:
    with pytest.raises(UserError, match=f"^{name} was sent twice, under names that mean the same: send one"):
        read_request({"image.front": PICTURE, "state": STATE, "prompt": "reach", **more}, TERMS)


def test_an_instruction_may_be_as_long_as_one_of_training() -> None:
    words = "push the cube " * 10_000
    assert read_request({"image.front": PICTURE, "state": STATE, "prompt": words}, TERMS).prompt == words


def test_an_instruction_that_would_hold_up_everybody_is_refused() -> None:
    with pytest.raises(UserError, match="prompt must be text of 1 to 200000 characters"):
        read_request({"image.front": PICTURE, "state": STATE, "prompt": "push " * 50_000}, TERMS)


@pytest.mark.parametrize(
    "prompt", ["re\u00e4ch", "re\u00e4ch".encode(), ["re\u00e4ch"], np.array("re\u00e4ch"), np.array(["re\u00e4ch"])]
)
def test_one_text_is_an_instruction_however_it_is_wrapped(prompt: object) -> None:
    assert read_request({"image.front": PICTURE, "state": STATE, "prompt": prompt}, TERMS).prompt == "re\u00e4ch"


@pytest.mark.parametrize("prompt", [["a", "b"], [], 3, b"\xff", np.zeros(1), np.array(["a", "b"]), [["a"]], None, ""])
def test_what_is_not_one_text_is_no_instruction(prompt: object) -> None:
    with pytest.raises(UserError, match="prompt must be text"):
        read_request({"image.front": PICTURE, "state": STATE, "prompt": prompt}, TERMS)


@pytest.mark.parametrize("said", [{}, {"prompt": None}, {"prompt": ""}, {"prompt": " "}, {"prompt": [""]}])
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


@pytest.mark.parametrize("sent", [(224, 224), (240, 320), (96, 300), (61, 47)])
@pytest.mark.parametrize("camera", [(48, 64), (480, 640), (64, 48), (50, 50), (480, 848), (37, 91)])
def test_what_openpi_puts_between_bars_is_found(camera: tuple[int, int], sent: tuple[int, int]) -> None:
    """The camera may have another size than the one of the recordings, and its rounding."""
    ratio = max(camera[0] / sent[0], camera[1] / sent[1])
    inner = np.full((int(camera[0] / ratio), int(camera[1] / ratio), 3), 200, np.uint8)
    for recorded in (camera, tuple(round(1.7 * side) for side in camera)):
        found = as_recorded(padded(inner, *sent), recorded, "front")
        assert found.min() == 200 or abs(camera[0] * sent[1] - camera[1] * sent[0]) <= max(camera)
        assert np.abs(np.subtract(found.shape[:2], inner.shape[:2])).max() <= 2


def test_dark_pictures_are_not_cut_further_than_their_bars() -> None:
    night = np.zeros((48, 64, 3), np.uint8)
    night[30, 30] = 255
    assert as_recorded(padded(night, 64, 64), [48, 64], "front").shape == (48, 64, 3)
    assert as_recorded(np.zeros((64, 64, 3), np.uint8), [48, 64], "front").shape == (48, 64, 3)


@pytest.mark.parametrize("row", [0, 5, 58, 63])
def test_bars_that_are_not_black_are_part_of_the_picture(row: int) -> None:
    image = padded(PICTURE, 64, 64)
    image[row, 10] = 1
    with pytest.raises(UserError, match="64 x 64 .* training saw 48 x 64"):
        as_recorded(image, [48, 64], "front")
