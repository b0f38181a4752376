"""Bad input gives one line on stderr and exit code 2, help teaches, and looking at help imports nothing heavy."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.episodes.samples import FPS, make_episode
from tests.tiny import tiny_model

from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset
from presage.interface.cli import COMMANDS, main
from presage.systems.shipped import PARTS
from presage.training.checkpoint import save_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_model(tiny_model(size=64), tmp_path_factory.mktemp("checkpoint") / "model", "a random model")


def dataset(root: Path, actions: int = 16, size: int = 64) -> Path:
    for i in range(3):
        episode = make_episode(i, size=size)
        columns = dict(episode.columns, action=np.zeros((episode.length, actions), np.float32))
        spool_episode(root.with_name("spool"), f"{i}", replace(episode, columns=columns), FPS)
    return write_dataset(root.with_name("spool"), root, fps=FPS, robot_type="sawyer")


def refused(capfd, *arguments: object) -> str:
    """Run, and return the one line that was said."""
    assert main([str(a) for a in arguments]) == 2
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("presage: error: ")]
    assert len(said) == 1
    return said[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["colect"], "did you mean collect"),
        (["collect"], "--out"),
        (["collect", "--out", "x", "--episodes", "many"], "--episodes"),
        (["collect", "--out", "x", "--nonsense", "1"], "--nonsense"),
        (["collect", "--out", "x", "--tasks", "push-v9"], "push-v3"),
        (["collect", "--out", "x", "--cameras", "side"], "front, top, gripper"),
        (["collect", "--out", "x", "--episodes", "0"], "at least 1"),
        (["act", "--tasks", "open-the-door"], "unknown task"),
        (["act", "--use", " "], "--use"),
        (["act", "--episodes", "0"], "--episodes"),
        (["act", "--seed", "600"], "590000"),
        (["act", "--instruction", " "], "--instruction"),
        (["act", "--checkpoint", "nowhere"], "nowhere"),
        (["plan", "--candidates", "0"], "--candidates"),
        (["evaluate", "--checkpoint", "nowhere"], "nowhere"),
        (["synthesize", "--out", "x", "--checkpoint", "nowhere"], "nowhere"),
        (["act", "--policy", "127.0.0.1:8000"], "ws://HOST:PORT"),
        (["evaluate", "--policies", "magic"], "--policies magic: choose from joint, closed_loop"),
        (["serve", "nowhere"], "nowhere"),
        (["serve", "--use", "magic"], "acts by 'joint'"),
        (["serve", "--host", "0.0.0.0"], "PRESAGE_API_KEY"),
        (["serve", "--host", "robot.local", "--api-key-file", "nowhere"], "nowhere"),
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--deadline", "0"], "--deadline"),
        (["serve", "--sessions", "0"], "--sessions"),
        (["train", "--data", "nowhere", "--out", "x"], "nowhere"),
        (["train", "--data", "nowhere", "--out", "x", "--recipe", "magic"], "metaworld"),
        (["train", "--data", "a", "--out", "x", "--recipe", "backbone"], "--backbone"),
        (["train", "--data", "a", "--out", "x", "--only", "reader", "--start-from", str(PARTS)], "decoder"),
        (["train", "--data", "a", "--out", "x", "--start-from", str(PARTS)], "--recipe finetune"),
        (["train", "--data", "a", "--out", "x", "--codec-steps", "1"], "--system reference"),
        (["train", "--recipe", "debug", "--data", "a", "--out", "x", "--only", "critic"], "--start-from"),
        (["collect", "--out", "x", "--counterfactuals", "-1"], "--counterfactuals"),
        (["collect", "--out", "x", "--planner", "nowhere"], "nowhere"),
        (["train", "--data", "a", "b", "--weights", "1", "--out", "x"], "--weights"),
        (["bench", "speed"], "collect"),
        (["bench", "cache", "--checkpoint", "nowhere"], "nowhere"),
        (["bench", "cache", "--episodes", "0"], "--episodes"),
        (["figures", "nowhere.json"], "nowhere.json"),
        (["demo", "--checkpoint", "nowhere"], "nowhere"),
        (["act", "--films", "2"], "--json FILE"),
        (["report"], "at least 1"),
        (["report", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_arguments(arguments, says, capfd, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in refused(capfd, *arguments)
    assert [p.name for p in tmp_path.iterdir() if p.name != "runs"] == []  # nothing half written


def test_a_missing_shipped_checkpoint_says_how_to_get_one(capfd, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("presage.systems.shipped.SHIPPED", tmp_path / "none")
    assert "--checkpoint" in refused(capfd, "bench", "dream")
    monkeypatch.setattr("presage.systems.shipped.PARTS", tmp_path / "none")
    assert "--checkpoint" in refused(capfd, "bench", "cache")


def test_a_truncated_checkpoint(capfd, checkpoint, tmp_path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text((checkpoint / "config.json").read_text())
    weights = (checkpoint / "model.safetensors").read_bytes()
    (damaged / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "truncated" in refused(capfd, "act", "--checkpoint", damaged)
    (damaged / "config.json").write_text("{")
    assert "config.json" in refused(capfd, "demo", "--checkpoint", damaged, "--out", tmp_path / "page.html")
    (damaged / "model.safetensors").unlink()
    assert "model.safetensors" in refused(capfd, "bench", "codec", "--checkpoint", damaged)


def test_unwritable_outputs_are_refused_before_the_work(capfd, checkpoint, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    inside = tmp_path / "file" / "inside"  # no folder can be made inside a file, not even by root
    assert "inside" in refused(capfd, "collect", "--out", inside)
    assert "inside" in refused(capfd, "bench", "cache", "--checkpoint", checkpoint, "--json", inside)
    assert "inside" in refused(capfd, "demo", "--checkpoint", checkpoint, "--out", inside)
    assert "inside" in refused(capfd, "synthesize", "--checkpoint", checkpoint, "--out", inside)
    assert "inside" in refused(capfd, "train", "--data", dataset(tmp_path / "data"), "--out", inside)
    assert "folder" in refused(capfd, "act", "--checkpoint", checkpoint, "--json", tmp_path)
    (tmp_path / "taken").mkdir()
    assert "exists" in refused(capfd, "synthesize", "--checkpoint", checkpoint, "--out", tmp_path / "taken")


def test_wrong_action_size(capfd, tmp_path) -> None:
    data = dataset(tmp_path / "data", actions=8)
    said = refused(capfd, "train", "--data", data, "--out", tmp_path / "run", "--recipe", "debug", "--codec-steps", "1")
    assert "'action' has 8 numbers" in said


def test_a_corrupt_video_and_a_missing_column(capfd, tmp_path) -> None:
    data = dataset(tmp_path / "data")
    arguments = ("train", "--data", data, "--out", tmp_path / "run", "--recipe", "debug", "--codec-steps", "1")
    video = data / "videos/observation.images.front/chunk-000/file-000.mp4"
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) // 2])
    assert "file-000.mp4" in refused(capfd, *arguments)
    video.write_bytes(whole)
    info = json.loads((data / "meta/info.json").read_text())
    info["features"].pop("observation.state")
    (data / "meta/info.json").write_text(json.dumps(info))
    assert "observation.state" in refused(capfd, *arguments)


def test_training_writes_a_checkpoint_with_a_card_that_repeats_it(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset(tmp_path / "data")
    arguments = ["train", "--data", "data", "--out", "run", "--recipe", "debug", "--codec-steps", "2", "--steps", "3"]
    monkeypatch.setattr(sys, "argv", ["presage", *arguments])
    assert main([*arguments, "--json", "figures.json"]) == 0
    card = Path("run/model/card.md").read_text()
    assert " ".join(arguments) in card and "3 steps" in card and "3 episodes" in card
    assert json.loads(Path("figures.json").read_text())["figures"]["step"] == 3
    assert str(tmp_path) not in card
    assert "checkpoint run/model" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command, capsys) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"presage {command} " in said.split("options")[0].replace("usage: presage", "")  # an example
    assert "--seed" in said and "--json" in said


def test_looking_at_help_is_light() -> None:
    heavy = "sorted({'torch', 'mujoco', 'av', 'matplotlib', 'scipy'} & set(sys.modules))"
    code = f"import sys; from presage.interface.cli import main; assert main(['--help']) == 0; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(command in done.stdout for command in COMMANDS)


def test_the_installed_command_exits_with_2() -> None:
    done = subprocess.run([sys.executable, "-m", "presage.interface.cli", "act", "--tasks", "x"], capture_output=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
