"""A survey counts what is there and lists what is wrong, file by file, without stopping at the first."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.episodes.robots import forget_codec, put_nan, write_numbers, write_robot
from tests.episodes.test_damage import drop_index, edit_info, truncate

from presage.episodes.survey import BINS, survey
from presage.errors import UserError

DATA = "data/chunk-000/file-000.parquet"
VIDEO = "videos/observation.images.front/chunk-000/file-000.mp4"


def test_what_is_there(root: Path) -> None:
    found = survey(root)
    assert found.damage == [] and found.gaps == []
    assert found.instructions == [("open the drawer", 2), ("push the puck", 2)] and found.success == (2, 4)
    assert [(c.name, c.width, c.height, c.codec) for c in found.cameras] == [
        ("front", 16, 16, "h264"),
        ("top", 16, 16, "h264"),
    ]
    action = next(f for f in found.features if f.name == "action")
    assert action.shape == [16] and action.missing == 6 and action.numbers[3].name == "action[3]"
    assert sum(action.numbers[0].histogram) == 16 and len(action.numbers[0].histogram) == BINS


def test_v21_and_embedded_images(old_root: Path) -> None:
    assert survey(old_root).damage == []
    images = survey(Path(__file__).parent / "lerobot_0_4_4" / "image", full=True)
    assert images.damage == [] and images.cameras[0].codec == "images"


def test_grippers_are_found_by_name_and_by_what_they_do(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm", joints=3, episodes=1, length=40)
    table = pq.read_table(root / DATA)
    action = np.array(table["action"].to_pylist(), np.float32)
    action[:, 2] = np.arange(40) > 25  # opens and closes
    place, kind = table.column_names.index("action"), table.schema.field("action")
    pq.write_table(table.set_column(place, kind, pa.array(action.tolist(), kind.type)), root / DATA)
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["action"]["names"] = ["left_gripper", "elbow", "x"]
    (root / "meta/info.json").write_text(json.dumps(info))
    action_feature = next(f for f in survey(root).features if f.name == "action")
    assert [number.is_gripper for number in action_feature.numbers] == [True, False, True]


def test_success_is_counted_however_it_was_written(tmp_path: Path) -> None:
    action = np.zeros((4, 2), np.float32)
    facts = ["success", "failure", "unknown"]
    root = write_numbers(tmp_path / "a", lambda e: {"action": action}, 3, facts=lambda e: {"success": facts[e]})
    assert survey(root).success == (1, 2)
    strange = write_numbers(tmp_path / "b", lambda e: {"action": action}, facts=lambda e: {"success": "so so"})
    found = survey(strange)
    assert found.success is None and "'so so' says neither success nor failure" in found.damage[0]


def widen(root: Path) -> None:
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["action"]["shape"] = [9]
    (root / "meta/info.json").write_text(json.dumps(info))


DAMAGES = {
    "missing video": (lambda root: (root / VIDEO).unlink(), "file-000.mp4: the video is missing; restore"),
    "truncated video": (lambda root: truncate(root / VIDEO), "file-000.mp4: the video is damaged .*restore"),
    "unknown codec": (
        lambda root: forget_codec(root / VIDEO),
        "file-000.mp4: the video's codec is unknown here; convert",
    ),
    "truncated data": (lambda root: truncate(root / DATA), "file-000.parquet: cannot be read .*restore"),
    "NaN": (
        lambda root: put_nan(root / DATA, 35),
        "'action' is NaN or infinite in 1 rows of episode 1, first in row 4",
    ),
    "wrong shape": (widen, r"'action' does not have shape \[9\] in every row; correct"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_listed_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    root = write_robot(tmp_path / "arm", ("front", "wrist"))
    damage, says = DAMAGES[name]
    damage(root)
    found = survey(root)
    assert len(found.damage) == 1
    with pytest.raises(UserError, match=says):
        raise UserError(found.damage[0])
    assert len(found.cameras) == 2 and found.cameras[1].codec == "h264"
    if name != "truncated data":
        assert sum(len(f.numbers) for f in found.features) >= 11


REPAIRED = {
    "tasks without index": (
        lambda root: drop_index(root / "meta/tasks.parquet"),
        "tasks.parquet: .*LeRobot reads numbers",
    ),
    "truncated statistics": (
        lambda root: truncate(root / "meta/stats.json"),
        "stats.json: cannot be read.*computed anew",
    ),
    "wrong total": (lambda root: edit_info(root / "meta/info.json", total_frames=9), "total_frames is 9, .* say 62"),
}


@pytest.mark.parametrize("name", REPAIRED)
def test_what_was_repaired_is_listed(tmp_path: Path, name: str) -> None:
    root = write_robot(tmp_path / "arm")
    damage, says = REPAIRED[name]
    damage(root)
    found = survey(root)
    assert found.damage == [] and len(found.notes) == 1
    with pytest.raises(UserError, match=says):
        raise UserError(found.notes[0])


def test_gaps_are_listed_by_episode(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm")
    table = pq.read_table(root / DATA)
    time = np.array(table["timestamp"].to_pylist(), np.float32)
    time[40:] += 0.5
    place = table.column_names.index("timestamp")
    pq.write_table(table.set_column(place, "timestamp", pa.array(time)), root / DATA)
    episodes = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(episodes)
    place = table.column_names.index("videos/observation.images.front/from_timestamp")
    late = pa.array([0.0, 34 / 30])  # three frames behind where the second episode begins
    pq.write_table(table.set_column(place, table.column_names[place], late), episodes)
    found = survey(root)
    assert found.gaps == ["episode 1: timestamp jumps 1 times, first behind row 8 by 0.5333 s instead of 0.03333 s"]
    assert "episodes do not begin where meta/ says; frames are counted" in found.notes[0]


def test_damage_inside_a_video_is_found_when_all_is_decoded(root: Path) -> None:
    from tests.episodes.test_damage import corrupt

    corrupt(root / VIDEO)
    assert any("file-000.mp4" in line for line in survey(root, full=True).damage)


def test_without_episodes_there_is_nothing_to_look_at(root: Path, tmp_path: Path) -> None:
    truncate(root / "meta/episodes/chunk-000/file-000.parquet")
    with pytest.raises(UserError, match="file-000.parquet: cannot be read"):
        survey(root)
    with pytest.raises(UserError, match="info.json: not found"):
        survey(tmp_path)
