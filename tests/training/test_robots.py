"""Any robot's dataset trains by the command line alone, and its checkpoint imagines."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.interface.cli import main
from presage.timeline.levels import Plan
from presage.timeline.session import Session
from presage.training.checkpoint import load_model, read_config
from tests.episodes.robots import write_robot

CASES = {
    "one camera, 7 joints, 30 Hz": ({"cameras": ("front",), "joints": 7, "fps": 30}, []),
    "three cameras, 14 joints, 50 Hz": (
        {"cameras": ("high", "left", "right"), "joints": 14, "fps": 50},
        ["--relative", "all"],
    ),
    "three cameras tiled, 10 Hz": (
        {"cameras": ("a", "b", "c"), "fps": 10},
        ["--cameras", "all=a+b+c", "--fit", "letterbox"],
    ),
    "no state": ({"state": False, "fps": 10}, []),
    "no action": ({"action": False, "fps": 30}, ["--fps", "20", "--chunk", "3"]),
    "neither": ({"state": False, "action": False}, []),
}


def train(out: Path, *arguments: object) -> Path:
    shape = ["--recipe", "debug", "--codec-steps", "1", "--steps", "2"]
    assert main(["train", "--out", str(out), *shape, *map(str, arguments)]) == 0
    return out / "model"


def imagine(folder: Path) -> np.ndarray:
    """What the checkpoint does after one observation, as the robot would send it: (chunk, A)."""
    torch.set_num_threads(1)
    model, config = load_model(folder), read_config(folder)
    robot, slots = Robot.all_from_config(config, folder)[0], Slots(**config["slots"])
    images = {source: np.zeros((48, 64, 3), np.uint8) for sources in robot.cameras.values() for source in sources}
    state = np.zeros(len(robot.state_names), np.float32)
    pictures = {f"image.{k}": v[None] for k, v in robot.pictures(images, model.config.codec.size).items()}
    shared = np.nan_to_num(slots.place_state(robot, state[None]))
    session = Session(model, ["lift the cube"])
    session.observe({**pictures, "state": shared})
    dream = session.imagine(Plan.joint(1))
    assert {f"image.{camera}" for camera in robot.cameras} == set(model.decode_images(dream.values))
    if not robot.action:
        return np.zeros(0)
    return robot.to_absolute(slots.take_action(robot, model.decode_action(dream.values["action"])[0]), state)


@pytest.mark.parametrize("case", CASES)
def test_any_robot_trains_and_imagines(case: str, tmp_path: Path) -> None:
    recording, options = CASES[case]
    data = write_robot(tmp_path / "data", length=21, **recording)
    folder = train(tmp_path / "run", "--data", data, *options)
    robot = Robot.all_from_config(read_config(folder), folder)[0]
    action = imagine(folder)
    if robot.action:
        assert action.shape == (robot.chunk, recording.get("joints", 7)) and np.isfinite(action).all()
    assert load_model(folder).config.fps == pytest.approx(robot.steps_per_second)


def test_two_robots_train_one_model(tmp_path: Path) -> None:
    arm = write_robot(tmp_path / "arm", joints=3, fps=10, length=12, name="arm")
    dual = write_robot(tmp_path / "dual", joints=5, fps=20, length=24, name="dual")
    folder = train(tmp_path / "run", "--data", arm, dual, "--fps", "10", "--chunk", "2")
    model = load_model(folder)
    assert model.config.action_dim == 8 and read_config(folder)["slots"]["action"] == {"arm": [0, 3], "dual": [3, 8 - 3]}
    assert imagine(folder).shape == (2, 3)
    # each robot's numbers are scaled by its own data: joint j lies near j
    center = np.array(model.action_codec.center).reshape(2, 8)[0]
    np.testing.assert_allclose(center, [0, 1, 2, 0, 1, 2, 3, 4], atol=0.8)


def test_a_checkpoint_continues_with_its_own_robot(tmp_path: Path) -> None:
    data = write_robot(tmp_path / "data", joints=3, fps=10, length=12)
    first = train(
        tmp_path / "first",
        "--data",
        data,
        "--action",
        "action:0,2",
        "--relative",
        "all",
        "--state",
        "observation.state:0,2",
    )
    arguments = ["train", "--data", str(data), "--recipe", "finetune", "--steps", "1", "--out", str(tmp_path / "more")]
    assert main([*arguments, "--start-from", str(first)]) == 0
    told = [json.loads((run / "config.json").read_text())["robots"] for run in (first, tmp_path / "more/model")]
    assert told[0] == told[1] and told[0][0]["action"][0]["numbers"] == [0, 2]


def test_one_of_two_robots_continues_in_its_own_slots(tmp_path: Path) -> None:
    arm = write_robot(tmp_path / "arm", joints=3, fps=10, length=12, name="arm")
    dual = write_robot(tmp_path / "dual", joints=5, fps=10, length=12, name="dual")
    both = train(tmp_path / "both", "--data", arm, dual)
    arguments = ["train", "--data", str(dual), "--recipe", "finetune", "--steps", "1", "--out", str(tmp_path / "more")]
    assert main([*arguments, "--start-from", str(both)]) == 0
    before, after = (read_config(folder) for folder in (both, tmp_path / "more/model"))
    assert after["robots"] == before["robots"] and after["slots"] == before["slots"]


def test_a_recording_of_metaworld_keeps_its_chunks(tmp_path: Path) -> None:
    from tests.interface.test_cli import dataset

    folder = train(tmp_path / "run", "--data", dataset(tmp_path / "data"))
    assert load_model(folder).config.chunk == 4 and load_model(folder).config.action_dim == 4
    robot = Robot.all_from_config(read_config(folder), folder)[0]
    assert robot.chunked_rows and robot.fps == 20 and list(robot.cameras) == ["front", "top"]
