"""Recipes are set for the robots whose data are trained on."""

from dataclasses import replace
from pathlib import Path

import pytest

from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.training.recipes import debug, for_robots
from tests.episodes.robots import write_robot


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
