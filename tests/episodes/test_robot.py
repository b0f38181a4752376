"""The description of a robot follows from info.json, and every part of it can be said otherwise."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.episodes.robots import write_robot

from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot, column_names, holds_chunks
from presage.episodes.slots import Slots, separate
from presage.errors import UserError


@pytest.fixture
def arm(tmp_path: Path) -> Dataset:
    """Two cameras, seven named joints of which the last is a gripper, 30 rows a second."""
    root = write_robot(tmp_path / "arm", ("front", "wrist"))
    info = json.loads((root / "meta/info.json").read_text())
    names = [f"joint_{i}.pos" for i in range(6)] + ["gripper.pos"]
    info["features"]["action"]["names"] = names
    info["features"]["observation.state"]["names"] = {"motors": names}
    (root / "meta/info.json").write_text(json.dumps(info))
    return Dataset(root)


def test_the_default_takes_everything_at_about_five_steps_per_second(arm: Dataset) -> None:
    robot = Robot.from_dataset(arm)
    assert robot.cameras == {"front": ["front"], "wrist": ["wrist"]}
    assert robot.action_names[-1] == "gripper.pos" and robot.state_names[0] == "joint_0.pos"
    assert (robot.fps, robot.chunk, robot.steps_per_second) == (30, 6, 5)
    assert robot.gripper == [6] and robot.relative == []
    assert not holds_chunks(arm)


def test_a_description_survives_the_checkpoint(arm: Dataset) -> None:
    robot = Robot.from_dataset(arm, cameras=["eye=front"], relative=["all"], action=["action:0-2,gripper.pos@hand"])
    config = json.loads(json.dumps({"robots": [robot.to_config()]}))
    assert Robot.all_from_config(config, Path("config.json")) == [robot]
    with pytest.raises(UserError, match="'robots' does not fit"):
        Robot.all_from_config({"robots": [{"name": "x"}]}, Path("config.json"))


def test_relative_actions_find_their_state_by_name_or_place(arm: Dataset) -> None:
    robot = Robot.from_dataset(arm, action=["action:2,gripper.pos"], relative=["all"])
    assert robot.relative == [2, -1]  # a gripper stays absolute
    chunk, state = np.ones((3, 2), np.float32), np.arange(7, dtype=np.float32)
    np.testing.assert_allclose(robot.to_absolute(chunk, state), [[3, 1]] * 3)
    np.testing.assert_allclose(robot.to_relative(robot.to_absolute(chunk, state), state), chunk)
    with pytest.raises(UserError, match="relative to"):
        Robot.from_dataset(arm, action=["observation.state:0", "action:1"], state=["action:3"], relative=["0"])


def test_pictures_are_cropped_letterboxed_or_tiled(arm: Dataset) -> None:
    white = {"front": np.full((40, 80, 3), 255, np.uint8), "wrist": np.full((64, 64, 3), 100, np.uint8)}
    assert Robot.from_dataset(arm).pictures(white, 32)["front"].min() == 255
    boxed = Robot.from_dataset(arm, fit="letterbox").pictures(white, 32)["front"]
    assert boxed[:8].max() == 0 and boxed[8:24].min() == 255 and boxed[24:].max() == 0
    tiled = Robot.from_dataset(arm, cameras=["all=front+wrist"]).pictures(white, 32)
    assert list(tiled) == ["all"] and tiled["all"].shape == (32, 32, 3)
    assert tiled["all"][0, 0, 0] == 255 and tiled["all"][0, 16, 0] == 100 and tiled["all"][16:].max() == 0
    with pytest.raises(UserError, match="no picture of camera 'wrist'"):
        Robot.from_dataset(arm).pictures({"front": white["front"]}, 32)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cameras": ["side"]}, "no camera 'side'; it has front, wrist"),
        ({"cameras": ["a=front", "a=wrist"]}, "'a' is taken"),
        ({"action": ["actions"]}, "no feature 'actions'"),
        ({"action": ["action:9"]}, "no column '9'"),
        ({"state": ["observation.state:elbow"]}, "no column 'elbow'"),
        ({"fps": 0.0}, "--fps"),
        ({"chunk": 0}, "--chunk"),
    ],
)
def test_what_does_not_exist_is_one_line(arm: Dataset, options: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Robot.from_dataset(arm, **options)


def test_names_of_columns() -> None:
    assert column_names({"shape": [2], "names": None}, "action") == ["action[0]", "action[1]"]
    assert column_names({"shape": [2], "names": {"motors": ["a", "b"]}}, "action") == ["a", "b"]
    assert column_names({"shape": [1], "names": None}, "next.reward") == ["next.reward"]


def test_robots_share_the_slots_they_name(arm: Dataset) -> None:
    one = Robot.from_dataset(arm, action=["action:0-5@arm", "action:6@grip"], state=["none"])
    two = Robot.from_dataset(arm, action=["action:6@grip"], state=["none"])
    slots = Slots.of([one, two])
    assert slots.action == {"arm": (0, 6), "grip": (6, 1)} and slots.action_dim == 7 and slots.state_dim == 0
    placed = slots.place_action(two, np.ones((2, 1), np.float32))
    assert np.isnan(placed[:, :6]).all() and (placed[:, 6] == 1).all()
    np.testing.assert_array_equal(slots.take_action(two, placed), 1)
    with pytest.raises(UserError, match="slot 'arm' has 6 numbers in one robot and 1"):
        Slots.of([one, Robot.from_dataset(arm, action=["action:6@arm"], state=["none"])])
    with pytest.raises(UserError, match="named twice"):
        Slots.of([Robot.from_dataset(arm, action=["action:0@a", "action:1@a"])])


def test_robots_that_differ_get_entries_of_their_own(arm: Dataset, tmp_path: Path) -> None:
    dual = Dataset(write_robot(tmp_path / "dual", joints=14, name="arm"))
    robots = separate([Robot.from_dataset(arm), Robot.from_dataset(dual), Robot.from_dataset(arm)])
    assert Slots.of(robots).action == {"arm": (0, 7), "arm-1": (7, 14)}
    assert robots[0] == robots[2]
    alike = separate([Robot.from_dataset(arm)] * 2)
    assert Slots.of(alike).action_dim == 7
