"""A checkpoint acts where its robot is the simulator's; every other one is refused by its description."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.tiny import tiny_model

from presage.episodes.robot import Columns, Robot
from presage.errors import UserError
from presage.interface.cli import main
from presage.simulator.pairing import check_robot
from presage.training.checkpoint import save_model
from presage.worlds.collect import collect

SAWYER = Robot.of_chunked_rows(["front", "top"], 4, 4, 4, 5.0)


def checkpoint(folder: Path, *robots: Robot) -> Path:
    """Weights of a tiny model that say they belong to `robots`."""
    return save_model(tiny_model(), folder, "a random model", {"robots": [robot.to_config() for robot in robots]})


def test_recordings_of_each_world_are_accepted_there_and_nowhere_else(tmp_path):
    robots = {
        "push-v3": SAWYER,
        "fetch-push": Robot.of_chunked_rows(["front"], 4, 4, 4, 6.25, "fetch"),
        "pusht": Robot.of_chunked_rows(["top"], 4, 2, 2, 2.5, "pusht"),
    }
    for own, robot in robots.items():
        folder = checkpoint(tmp_path / own, robot)
        check_robot([own], folder)
        for task in set(robots) - {own}:
            with pytest.raises(UserError, match=f"another robot than task '{task}' moves: '{robot.name}', not"):
                check_robot([own, task], folder)


def test_one_of_several_robots_is_enough_and_an_old_checkpoint_names_none(tmp_path):
    check_robot(["push-v3"], checkpoint(tmp_path / "two", replace(SAWYER, name="arm"), SAWYER))
    check_robot(["push-v3"], save_model(tiny_model(), tmp_path / "old", "a random model"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "so100"}, "'so100', not 'sawyer'"),
        ({"chunked_rows": False}, "a 'sawyer' that presage collect did not record"),
        ({"cameras": {"wrist": ["wrist"]}}, "camera wrist; the simulator has front, top, gripper"),
        ({"cameras": {"front": ["front", "top"]}}, "camera front is made of others"),
        ({"relative": [0, 1, 2, -1]}, r"actions action\[0\], action\[1\], action\[2\] are relative to the state"),
        ({"action": [Columns("action", [0], ["x"])]}, "1 actions, the simulator 4"),
        ({"state": [Columns("observation.state", [0], ["x"])]}, "1 numbers of state, the simulator 4"),
        ({"fps": 30.0}, "30 actions a second, the simulator 20"),
    ],
)
def test_what_differs_is_said(tmp_path, change, message):
    with pytest.raises(UserError, match=message) as error:
        check_robot(["push-v3"], checkpoint(tmp_path / "model", replace(SAWYER, **change)))
    assert "\n" not in str(error.value) and "presage collect --tasks push-v3" in str(error.value)


@pytest.mark.parametrize(
    "command",
    [
        ["act", "--tasks", "push-v3"],
        ["evaluate", "--tasks", "push-v3"],
        ["plan", "--tasks", "push-v3"],
        ["synthesize", "--tasks", "push-v3", "--out", "OUT"],
        ["play", "--task", "push-v3"],
        ["collect", "--tasks", "push-v3", "--out", "OUT", "--planner"],
        ["demo", "--out", "OUT"],
        *[["bench", name, "--quick"] for name in ("control", "dream", "evaluation", "planning", "realtime")],
        *[["bench", name, "--quick"] for name in ("codec", "representation", "synthesis", "play")],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_every_command_that_meets_a_simulator_refuses_another_robot(command, tmp_path, capfd):
    folder = checkpoint(tmp_path / "model", replace(SAWYER, name="so100"))
    option = [] if command[-1] == "--planner" else ["--checkpoint"]
    arguments = [str(tmp_path / "out") if word == "OUT" else word for word in command]
    assert main([*arguments, *option, str(folder)]) == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1 and "trained on another robot than task" in errors[0] and not (tmp_path / "out").exists()


def test_a_policy_of_another_robot_is_not_judged(tmp_path, capfd):
    mine = checkpoint(tmp_path / "mine", SAWYER)
    other = checkpoint(tmp_path / "other", replace(SAWYER, name="so100"))
    assert main(["evaluate", "--checkpoint", str(mine), "--policies", str(other), "--tasks", "push-v3"]) == 2
    assert f"{other}: trained on another robot" in capfd.readouterr().err


def test_a_model_of_push_t_acts_there(tmp_path, capfd):
    """From recording to acting: the rows hold chunks of Push-T's own size and rate."""
    data, run = tmp_path / "data", tmp_path / "run"
    collect(data, ["pusht"], 3, size=64, workers=1)
    assert main(["train", "--data", str(data), "--out", str(run), "--recipe", "debug"]) == 0
    assert f"presage act --checkpoint {run}/model --tasks pusht" in capfd.readouterr().out
    assert main(["act", "--checkpoint", f"{run}/model", "--tasks", "pusht", "--episodes", "1", "--max-steps", "2"]) == 0
    assert main(["act", "--checkpoint", f"{run}/model", "--tasks", "push-v3"]) == 2
