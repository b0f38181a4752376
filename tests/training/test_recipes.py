"""Recipes are set for the robots whose data are trained on, and checkpoints know what all of them saw."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.training.checkpoint import save_model
from presage.training.recipes import debug, fit, for_robots
from tests.episodes.robots import write_robot
from tests.tiny import tiny_model


def test_robots_that_share_a_model_have_the_same_cameras_rate_and_chunk(tmp_path: Path) -> None:
    arm = Robot.from_dataset(Dataset(write_robot(tmp_path / "arm", length=5)), chunk=2)
    twin, other = replace(arm, name="twin"), replace(arm, name="other")
    model = for_robots(debug(), [arm, twin]).model
    assert model.chunk == 2 and model.cameras == ["front"] and model.action_dim == 7
    for different, words in (
        (replace(other, fps=arm.fps + 1), "actions per second"),
        (replace(other, chunk=3), "actions in a chunk"),
        (replace(other, cameras={**arm.cameras, "wrist": ["wrist"]}), "cameras"),
    ):
        for robots in ([arm, different], [arm, twin, different]):
            with pytest.raises(UserError, match=f"robots 'arm' and 'other' differ in {words}"):
                for_robots(debug(), robots)


def test_what_a_kept_codec_was_trained_on_is_not_held_out(tmp_path: Path) -> None:
    seen = save_model(tiny_model(), tmp_path / "seen", "# card", {"trained_on": "0123456789abcdef"})
    data = write_robot(tmp_path / "data", length=12, fps=10)
    robots = [Robot.from_dataset(Dataset(data), chunk=2)]
    folder = fit(for_robots(debug(), robots), [(data, 1.0)], tmp_path / "run", seen, lambda: "", robots=robots)
    config = json.loads((folder / "config.json").read_text())
    assert config["trained_on"].split()[0] == "0123456789abcdef" and len(config["trained_on"].split()) == 3
