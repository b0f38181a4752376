"""The description of a robot follows from info.json, and every part of it can be said otherwise."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.episodes.robots import write_numbers, write_robot

from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot, find_robot, holds_chunks, united
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
    white = {"front": np.full((48, 64, 3), 255, np.uint8), "wrist": np.full((24, 32, 3), 100, np.uint8)}
    assert Robot.from_dataset(arm).pictures(white, 32)["front"].min() == 255
    boxed = Robot.from_dataset(arm, fit="letterbox").pictures(white, 32)["front"]
    assert boxed[:4].max() == 0 and boxed[4:28].min() == 255 and boxed[28:].max() == 0
    tiled = Robot.from_dataset(arm, cameras=["all=front+wrist"]).pictures(white, 32)
    assert list(tiled) == ["all"] and tiled["all"].shape == (32, 32, 3)
    assert tiled["all"][0, 0, 0] == 255 and tiled["all"][0, 16, 0] == 100 and tiled["all"][16:].max() == 0
    with pytest.raises(UserError, match="no picture of camera 'wrist'"):
        Robot.from_dataset(arm).pictures({"front": white["front"]}, 32)


def test_a_robot_knows_the_size_of_its_pictures_whatever_order_their_axes_have(arm: Dataset) -> None:
    assert Robot.from_dataset(arm, cameras=["all=front+wrist"]).recorded == {"front": [48, 64], "wrist": [48, 64]}
    assert Robot.from_dataset(arm, cameras=["eye=front"]).recorded == {"front": [48, 64]}
    path = arm.root / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["observation.images.front"] |= {"shape": [3, 48, 64], "names": ["channels", "height", "width"]}
    path.write_text(json.dumps(info))
    assert Robot.from_dataset(Dataset(arm.root)).recorded["front"] == [48, 64]


def test_a_robot_knows_whether_anybody_said_what_it_does(arm: Dataset, tmp_path: Path) -> None:
    silent = Robot.from_dataset(Dataset(write_robot(tmp_path / "silent", ("front", "wrist"), instruction="")))
    assert not silent.instructed and Robot.from_dataset(arm).instructed
    told = Robot.from_dataset(Dataset(write_robot(tmp_path / "told", ("front", "wrist"))))
    assert [robot.instructed for robot in united([silent, told])] == [True, True]
    assert [robot.instructed for robot in united([silent, silent])] == [False, False]


def test_recordings_of_one_robot_may_differ_in_size_but_not_in_proportions(tmp_path: Path) -> None:
    sizes = {"small": (48, 64), "large": (96, 128), "square": (64, 64)}
    robots = [Robot.from_dataset(Dataset(write_robot(tmp_path / name, size=size))) for name, size in sizes.items()]
    small, large, square = united(robots)
    assert small == large and square.recorded == {"front": [64, 64]}


def test_descriptions_of_an_older_presage_are_read(arm: Dataset) -> None:
    fields = Robot.from_dataset(arm).to_config()
    del fields["recorded"], fields["instructed"]
    (robot,) = Robot.all_from_config({"robots": [fields]}, Path("config.json"))
    assert robot.recorded == {} and robot.instructed
    any_size = {"front": np.full((33, 90, 3), 9, np.uint8), "wrist": np.full((64, 10, 3), 9, np.uint8)}
    assert robot.pictures(any_size, 32)["front"].min() == 9


def test_black_bars_are_cut_off_and_other_proportions_refused(arm: Dataset) -> None:
    robot = Robot.from_dataset(arm)
    shown = {
        name: np.random.default_rng(i).integers(1, 256, (48, 64, 3), np.uint8) for i, name in enumerate(robot.cameras)
    }
    bars = {name: np.pad(picture, ((8, 8), (0, 0), (0, 0))) for name, picture in shown.items()}
    for camera, picture in robot.pictures(bars, 32).items():
        np.testing.assert_array_equal(picture, robot.pictures(shown, 32)[camera])
    with pytest.raises(UserError, match="'wrist' are 64 x 48 .* training saw 48 x 64"):
        robot.pictures(shown | {"wrist": shown["wrist"].transpose(1, 0, 2)}, 32)


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


def two_arms(root: Path, names: dict[str, object]) -> Dataset:
    """An action of 4 numbers; a state of 4 and efforts of 4."""
    rng = np.random.default_rng(0)
    told = ("action", "observation.state", "observation.effort")
    return Dataset(
        write_numbers(root, lambda e: {n: rng.normal(size=(9, 4)).astype(np.float32) for n in told}, names=names)
    )


ARM = ["j0", "grip"]
GROUPS = {"left": ARM, "right": ARM}
SWAPPED = {"right": ARM, "left": ARM}


@pytest.mark.parametrize(
    ("action", "state", "relative"),
    [
        (GROUPS, SWAPPED, [2, -1, 0, -1]),
        (GROUPS, ["right.grip", "left.j0", "left.grip", "right.j0"], [1, -1, 3, -1]),
        (ARM * 2, ARM * 2, [0, -1, 2, -1]),
        (None, None, [0, 1, 2, 3]),
        (["a", "b", "c", "d"], ["d", "c", "b", "a"], [3, 2, 1, 0]),
        (["a", "b", "c", "d"], None, [0, 1, 2, 3]),
    ],
)
def test_relative_actions_belong_to_the_right_arm(
    tmp_path: Path, action: object, state: object, relative: list
) -> None:
    data = two_arms(tmp_path / "arms", {"action": action, "observation.state": state})
    assert Robot.from_dataset(data, relative=["all"]).relative == relative


def test_relative_actions_of_other_names_are_refused(tmp_path: Path) -> None:
    data = two_arms(tmp_path / "arms", {"action": ["a", "b", "c", "d"], "observation.state": ["a", "b", "c", "e"]})
    with pytest.raises(
        UserError, match="action 'd' has no state column of its name to be relative to, among a, b, c, e"
    ):
        Robot.from_dataset(data, relative=["all"])
    assert Robot.from_dataset(data, relative=["0-2"]).relative == [0, 1, 2, -1]


def test_features_that_name_their_numbers_alike_are_told_apart(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    data = two_arms(tmp_path / "arms", dict.fromkeys(("action", "observation.state", "observation.effort"), names))
    robot = Robot.from_dataset(data, state=["observation.effort", "observation.state"], relative=["all"])
    assert robot.state_names == ["effort.a", "effort.b", "effort.c", "effort.d", *names]
    assert robot.relative == [4, 5, 6, 7]  # of the state, not of the effort before it
    with pytest.raises(UserError, match="--state: column 1 of 'observation.effort' is chosen 2 times"):
        Robot.from_dataset(data, state=["observation.effort", "observation.effort:1"])


def test_what_jumps_is_a_gripper_and_stays_absolute_in_all_recordings(tmp_path: Path) -> None:
    def columns(closes: bool) -> dict[str, np.ndarray]:
        joint = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
        joint[:, 2] = closes * (np.arange(30) > 20)
        return {"action": joint, "observation.state": joint}

    open_and_close = Dataset(write_numbers(tmp_path / "a", lambda e: columns(True)))
    never = Dataset(write_numbers(tmp_path / "b", lambda e: columns(False)))
    robots = [Robot.from_dataset(data, relative=["all"]) for data in (never, open_and_close)]
    assert [robot.gripper for robot in robots] == [[], [2]]
    assert [robot.relative for robot in separate(robots)] == [[0, 1, -1]] * 2


def test_the_robot_of_a_checkpoint_is_found_by_name(arm: Dataset, tmp_path: Path) -> None:
    dual = Dataset(write_robot(tmp_path / "dual", joints=14, name="dual"))
    known = [Robot.from_dataset(arm), Robot.from_dataset(dual)]
    assert find_robot(known, dual) == known[1] and find_robot(known[:1], dual) == known[0]
    with pytest.raises(UserError, match=r"robot 'third' is none of the checkpoint's \(arm, dual\)"):
        find_robot(known, Dataset(write_robot(tmp_path / "third", name="third")))


def test_of_robots_with_one_name_the_one_with_the_datasets_proportions_is_found(tmp_path: Path) -> None:
    sizes = {"wide": (48, 64), "square": (32, 32), "tall": (64, 48), "large": (64, 64)}
    data = {name: Dataset(write_robot(tmp_path / name, size=size)) for name, size in sizes.items()}
    wide, square = (Robot.from_dataset(data[name]) for name in ("wide", "square"))
    found = {name: find_robot([wide, square], each) for name, each in data.items()}
    assert found == {"wide": wide, "square": square, "large": square, "tall": wide}  # which then refuses the tall ones


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
