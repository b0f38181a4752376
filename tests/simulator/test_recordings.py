"""A model's recordings are those that it was not trained on, as far as anybody can tell."""

from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.episodes.robots import put_nan, write_robot
from tests.tiny import tiny_model

from presage.episodes.dataset import Dataset
from presage.episodes.marks import all_marks
from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.simulator.recordings import held_out, open_held_out, sight_of
from presage.training.checkpoint import save_model


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    return write_robot(tmp_path / "arm", ("front", "top"), joints=4, length=21, fps=20, episodes=3)


def test_a_damaged_number_hides_no_episode_that_was_trained_on(arm: Path) -> None:
    put_nan(next((arm / "data").rglob("*.parquet")), 3)
    dataset = Dataset(arm)
    assert held_out(dataset, frozenset(all_marks([dataset]).split())) == ([], True)
    assert held_out(dataset, frozenset(all_marks([Dataset(arm, [1])]).split())) == ([0, 2], True)


def test_where_nobody_can_tell_it_is_not_said_to_be_held_out(arm: Path) -> None:
    marks = frozenset(all_marks([Dataset(arm, [1])]).split())
    assert held_out(Dataset(arm), None) == ([0, 1, 2], False)
    data = next((arm / "data").rglob("*.parquet"))
    pq.write_table(pq.read_table(data).drop_columns(["action", "observation.state"]), data)
    assert held_out(Dataset(arm), marks) == ([0, 1, 2], False)


def test_a_recording_says_whether_it_is_known_to_be_held_out(arm: Path, tmp_path: Path) -> None:
    robot = Robot.from_dataset(Dataset(arm))
    facts = {"robots": [robot.to_config()], "slots": asdict(Slots.of([robot]))}
    for number, (marks, said, left) in enumerate((("", False, 3), (all_marks([Dataset(arm, [1])]), True, 2))):
        sight = sight_of(save_model(tiny_model(), tmp_path / str(number), "# card", facts | {"trained_on": marks}))
        recording = open_held_out(sight, arm)
        assert (sight.trained_on is not None, recording.held_out, len(recording)) == (said, said, left)
    asked = open_held_out(sight, arm, also=[1])
    assert len(asked) == 3 and not asked.held_out
