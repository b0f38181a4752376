"""Any robot's dataset trains by the command line alone, and its checkpoint imagines."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from presage.codecs.scalars import FARTHEST
from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.interface.cli import main
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.training.checkpoint import load_model, read_config
from tests.episodes.robots import write_numbers, write_robot

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
    "no action": ({"action": False, "fps": 30}, ["--action", "none", "--fps", "20", "--chunk", "3"]),
    "neither": ({"state": False, "action": False}, ["--action", "none"]),
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
    dream = session.imagine(Schedule.joint(1))
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
    assert model.config.action_dim == 8 and read_config(folder)["slots"]["action"] == {
        "arm": [0, 3],
        "dual": [3, 8 - 3],
    }
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


def steps_of(joints: int = 3, length: int = 30) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(length, joints)).astype(np.float32)


def refused(capsys, *arguments: object) -> str:
    """The one line with which a training is refused before anything is written."""
    out = Path(str(arguments[-1]))
    recipe = [] if "--recipe" in arguments else ["--recipe", "debug"]
    assert main(["train", *recipe, *map(str, arguments)]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(error) == 1 and not (out / "codec").exists() and not (out / "model").exists()
    return error[0]


def test_data_with_nothing_to_learn_are_refused_before_anything_is_learned(tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    arm, short = write_robot(tmp_path / "arm", length=12), write_robot(tmp_path / "short", length=1)
    assert "--chunk at most 11" in refused(capsys, "--data", arm, "--chunk", "100", "--out", out)
    assert "short: every episode has one row" in refused(capsys, "--data", short, "--out", out)
    assert "short: every" in refused(capsys, "--data", arm, short, "--chunk", "2", "--out", out)  # the one of both
    assert "--weights are all 0" in refused(capsys, "--data", arm, "--weights", "0", "--chunk", "2", "--out", out)
    cloning = ("--recipe", "behaviour_cloning", "--action", "none", "--out", out)
    assert "nothing to imitate" in refused(capsys, "--data", arm, *cloning)
    named = write_numbers(tmp_path / "named", lambda e: {"actions": steps_of(), "state": steps_of()})
    assert "give --action actions, or --action none" in refused(capsys, "--data", named, "--out", out)


def test_a_dataset_that_is_never_drawn_need_not_teach(tmp_path: Path) -> None:
    arm, short = write_robot(tmp_path / "arm", length=12), write_robot(tmp_path / "short", length=1)
    train(tmp_path / "run", "--data", arm, short, "--weights", "1", "0", "--chunk", "2")


def test_columns_of_other_names_and_of_other_meanings_train_with_a_word(tmp_path: Path, capsys) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        return {"actions": steps_of(), "state": steps_of(), "quality": np.full(30, 1 + 2 * episode)}

    data = write_numbers(tmp_path / "arm", columns)
    folder = train(tmp_path / "run", "--data", data, "--action", "actions")
    said = capsys.readouterr().out
    assert "the model sees no state; state may be one: --state state" in said
    assert "column 'quality' is not used: it reaches from 1 to 3" in said
    assert read_config(folder)["robots"][0]["action"][0]["feature"] == "actions"


def test_a_column_that_hardly_moves_does_not_explode(tmp_path: Path, capsys) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        action = steps_of(length=200)
        action[:, 2] *= 1e-5
        action[10, 2] = 0.8
        return {"action": action, "observation.state": action}

    folder = train(tmp_path / "run", "--data", write_numbers(tmp_path / "arm", columns, episodes=3), "--chunk", "2")
    config = read_config(folder)
    np.testing.assert_allclose(np.array(config["action_codec"]["scale"])[[2, 5]], 0.8 / FARTHEST, rtol=0.01)
    assert config["state_codec"]["scale"][2] == pytest.approx(0.8 / FARTHEST, rel=0.01)
    said = capsys.readouterr().out
    assert "'action[2]' of 'action' lies between" in said
    loss = next(float(line.split()[1]) for line in said.splitlines() if line.startswith("loss"))
    assert loss < 5


def test_data_in_other_units_do_not_continue_a_checkpoint(tmp_path: Path, capsys) -> None:
    def arm(name: str, factor: float) -> Path:
        return write_numbers(
            tmp_path / name, lambda e: {"action": factor * steps_of(), "observation.state": steps_of()}
        )

    first = train(tmp_path / "first", "--data", arm("radians", 1))
    more = ["--recipe", "finetune", "--start-from", str(first), "--out", str(tmp_path / "more")]
    assert main(["train", "--data", str(arm("degrees", 180)), *more]) == 2
    assert "degrees: 'action': number" in (said := capsys.readouterr().err) and "are its units others?" in said


def test_parts_that_a_checkpoint_has_not_are_not_trained(tmp_path: Path, capsys) -> None:
    data = write_robot(tmp_path / "arm", length=12, state=False)
    first = train(tmp_path / "first", "--data", data, "--chunk", "2")
    more = ["--only", "state_dynamics", "--start-from", str(first), "--out", str(tmp_path / "more")]
    assert main(["train", "--data", str(data), *more]) == 2
    assert "--only state_dynamics: the checkpoint has none" in capsys.readouterr().err
