"""A column has one name and one meaning, however info.json writes it down."""

from pathlib import Path

import numpy as np
import pytest
from tests.episodes.robots import write_numbers

from presage.episodes.dataset import Dataset
from presage.episodes.naming import column_names, find_grippers, look_alikes, parse_columns, parse_numbers
from presage.errors import UserError

NUMBERED = ["action[0]", "action[1]", "action[2]", "action[3]"]
NAMES = {
    "none": (None, NUMBERED),
    "a list": (["a", "b", "c", "d"], ["a", "b", "c", "d"]),
    "one group": ({"motors": ["a", "b", "c", "d"]}, ["a", "b", "c", "d"]),
    "groups": ({"left": ["j0", "grip"], "right": ["j0", "grip"]}, ["left.j0", "left.grip", "right.j0", "right.grip"]),
    "groups in one": ({"arms": {"left": ["x", "y"], "right": ["x", "y"]}}, ["left.x", "left.y", "right.x", "right.y"]),
    "positions": ({"d": 3, "a": 0, "c": 2, "b": 1}, ["a", "b", "c", "d"]),
    "positions in groups": ({"l": {"y": 1, "x": 0}, "r": {"x": 2, "y": 3}}, ["l.x", "l.y", "r.x", "r.y"]),
    "positions from 0 in groups": ({"l": {"y": 1, "x": 0}, "r": {"x": 0, "y": 1}}, ["l.x", "l.y", "r.x", "r.y"]),
    "nested lists": ([["a", "b", "c"], ["d"]], ["a", "b", "c", "d"]),
    "twice in a list": (["j0", "grip", "j0", "grip"], ["j0#1", "grip#1", "j0#2", "grip#2"]),
    "too few": (["a", "b"], NUMBERED),
    "axes": (["motors"], NUMBERED),
    "numbers": ([0, 1, 2, 3], NUMBERED),
    "positions with a hole": ({"a": 0, "b": 1, "c": 2, "d": 9}, NUMBERED),
    "counts": ({"arm": 3, "gripper": 1}, NUMBERED),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_of_columns(case: str) -> None:
    given, expected = NAMES[case]
    assert column_names({"shape": [4], "names": given}, "action") == expected


def test_names_of_columns_with_axes() -> None:
    two_arms = {"shape": [2, 3], "names": [["left", "right"], ["x", "y", "z"]]}
    assert column_names(two_arms, "action")[2:4] == ["left.z", "right.x"]
    assert column_names({"shape": [2, 2], "names": [["a", "b"], ["c", "d"]]}, "action") == NUMBERED  # either way
    assert column_names({"shape": [2, 2], "names": ["arm", "joint"]}, "action") == NUMBERED
    assert column_names({"shape": [1], "names": None}, "next.reward") == ["next.reward"]


def test_columns_are_chosen_by_place_or_name() -> None:
    names = ["left.j0", "left.grip", "right.j0", "waist"]
    assert parse_numbers("0-1,3", names, "") == [0, 1, 3]
    assert parse_numbers("waist,right.j0", names, "") == [3, 2]
    assert parse_numbers("0,1", ["0", "1"], "") == [0, 1]


@pytest.mark.parametrize(
    ("text", "names", "says"),
    [
        ("j0", ["left.j0", "right.j0"], "'j0' may be left.j0 or right.j0"),
        ("grip", ["grip#1", "grip#2"], "'grip' may be grip#1 or grip#2"),
        ("1", ["1", "2", "3"], "'1' is the name of column 0; write 0-0 or 1-1"),
        ("elbow", ["waist"], "no column 'elbow'; there are waist"),
        ("2-1", ["a", "b", "c"], "no column '2-1'"),
        ("", ["a"], "no column ''"),
    ],
)
def test_what_may_be_several_columns_is_refused(text: str, names: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_numbers(text, names, "data")


def test_grippers_by_name() -> None:
    arm = ["joint_0", "left_gripper.pos", "gripper_x", "gripper_yaw", "finger_joint1", "finger_joint2", "jaw"]
    assert find_grippers(arm) == [False, True, False, False, True, True, True]
    hand = [f"right_finger_joint_{i}" for i in range(12)] + ["wrist"]
    assert not any(find_grippers(hand))  # the joints of a hand are joints


def test_grippers_by_what_they_do() -> None:
    t = np.arange(100)
    values = np.stack([np.sin(t / 9), t > 70, t == 50, 1e-5 * np.sin(t) + (t == 50)], 1)
    assert find_grippers(["a", "b", "c", "d"], values) == [False, True, True, False]
    assert find_grippers(["a", "grip"], np.empty((0, 2))) == [False, True]


def test_columns_that_may_be_the_action_or_the_state(tmp_path: Path) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        names = ("actions", "state", "joint_positions", "observation.effort", "quality")
        return {n: np.zeros((4, 2), np.float32) for n in names} | {"next.success": np.zeros(4, bool)}

    data = Dataset(write_numbers(tmp_path / "arm", columns))
    assert look_alikes(data, "action") == ["actions"]
    assert look_alikes(data, "state") == ["state", "joint_positions"]
    assert parse_columns(data, "actions:1@hand").slot == "hand"
    with pytest.raises(UserError, match="no feature 'action' of numbers; it has actions, state"):
        parse_columns(data, "action")
