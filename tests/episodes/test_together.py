"""Datasets become one only where their columns and cameras mean the same."""

from pathlib import Path
from typing import Any

import pytest
from tests.episodes.edited import change_info, read_info
from tests.episodes.robots import write_robot

from presage.episodes.cutting import Recompress
from presage.episodes.dataset import Dataset
from presage.episodes.edit import Written, write_episodes
from presage.episodes.video import encoding
from presage.errors import UserError

NAMES = ["x", "y", "z", "gripper"]
CAMERA = "observation.images.front"


def arm(root: Path, feature: str = "action", **entry: Any) -> Path:
    write_robot(root, joints=4, episodes=1, length=4)
    change_info(root, lambda info: info["features"][feature].update(entry))
    return root


def merge(tmp_path: Path, one: dict[str, Any], two: dict[str, Any], feature: str = "action") -> Written:
    parts = [Dataset(arm(tmp_path / name, feature, **entry)) for name, entry in (("one", one), ("two", two))]
    return write_episodes(parts, tmp_path / "out")


OTHER_NAMES = {
    "another order": (NAMES, ["gripper", "x", "y", "z"]),
    "another name": (NAMES, ["x", "y", "z", "jaw"]),
    "in a mapping": ({"motors": NAMES}, {"motors": NAMES[::-1]}),
    "by position": ({"x": 0, "y": 1, "z": 2, "gripper": 3}, {"x": 1, "y": 0, "z": 2, "gripper": 3}),
    "in groups": ({"left": ["x", "y"], "right": ["x", "y"]}, {"right": ["x", "y"], "left": ["x", "y"]}),
}


@pytest.mark.parametrize("kind", OTHER_NAMES)
def test_columns_with_other_names_are_refused(tmp_path: Path, kind: str) -> None:
    one, two = OTHER_NAMES[kind]
    with pytest.raises(UserError) as refusal:
        merge(tmp_path, {"names": one}, {"names": two})
    said = str(refusal.value)
    assert said.startswith(f"{tmp_path / 'two'}: 'action' is ") and "\n" not in said
    assert all(str(names).replace("'", "") in said for names in (one, two))
    assert not (tmp_path / "out").exists()


def test_the_same_names_in_other_forms(tmp_path: Path) -> None:
    assert merge(tmp_path, {"names": NAMES}, {"names": {"motors": NAMES}}).episodes == 2
    assert read_info(tmp_path / "out")["features"]["action"]["names"] == NAMES


@pytest.mark.parametrize("named", ["one", "two"])
def test_names_that_only_one_has_are_taken_with_a_word(tmp_path: Path, named: str) -> None:
    written = merge(tmp_path, *({"names": NAMES if name == named else None} for name in ("one", "two")))
    assert read_info(tmp_path / "out")["features"]["action"]["names"] == NAMES
    assert [note for note in written.notes if "'action' has no names" in note and str(tmp_path / named) not in note]


def test_units_that_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two: 'unit' of 'action' is 'deg', .*one has 'rad'; convert one of them"):
        merge(tmp_path, {"unit": "rad"}, {"unit": "deg"})


def test_what_only_one_says_is_kept(tmp_path: Path) -> None:
    merge(tmp_path, {"unit": "rad"}, {"maker": "own"})
    feature = read_info(tmp_path / "out")["features"]["action"]
    assert (feature["unit"], feature["maker"]) == ("rad", "own")


def test_other_robots_are_refused(tmp_path: Path) -> None:
    one, two = arm(tmp_path / "one"), arm(tmp_path / "two")
    change_info(two, lambda info: info.update(robot_type="so101"))
    with pytest.raises(UserError, match="two: robot_type is 'so101', .*one has 'arm'; correct meta/info.json where"):
        write_episodes([Dataset(one), Dataset(two)], tmp_path / "out")
    change_info(one, lambda info: info.update(robot_type=None, license="mit"))
    change_info(two, lambda info: info.update(license="apache"))
    written = write_episodes([Dataset(one), Dataset(two)], tmp_path / "out")
    assert read_info(tmp_path / "out")["robot_type"] == "so101" and read_info(tmp_path / "out")["license"] == "mit"
    assert f"{two}: 'license' of meta/info.json differs; that of {one} was kept" in written.notes


FIRST = {"shape": [3, 48, 64], "names": ["channels", "height", "width"]}
LAST = {"shape": [48, 64, 3], "names": ["height", "width", "channels"]}
AXES = [
    (FIRST, LAST),
    (LAST, FIRST),
    ({"shape": [3, 48, 64], "names": None}, LAST),
    ({"shape": [48, 64, 3], "names": ["channels", "height", "width"]}, FIRST),
]


@pytest.mark.parametrize(("one", "two"), AXES)
def test_a_camera_is_the_same_in_any_order_of_axes(tmp_path: Path, one: dict[str, Any], two: dict[str, Any]) -> None:
    merge(tmp_path, one, two, CAMERA)
    write_episodes([Dataset(tmp_path / "one")], tmp_path / "small", Recompress(encoding("h264", 30), 32))
    feature = read_info(tmp_path / "small")["features"][CAMERA]
    assert dict(zip(feature["names"], feature["shape"], strict=True)) == {"height": 32, "width": 42, "channels": 3}


def test_cameras_of_other_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"two: '{CAMERA}' is video \[64, 48, 3\], elsewhere video \[48, 64, 3\]"):
        merge(tmp_path, FIRST, {"shape": [3, 64, 48], "names": ["channels", "height", "width"]}, CAMERA)


def test_subtasks_count_within_one_file(tmp_path: Path) -> None:
    roots = [arm(tmp_path / name) for name in ("one", "two")]
    for root in roots:
        entry = {"dtype": "int64", "shape": [1], "names": None}
        change_info(root, lambda info, entry=entry: info["features"].update(subtask_index=entry))
        (root / "meta/subtasks.parquet").write_bytes(root.name.encode())
    with pytest.raises(UserError, match="two/meta/subtasks.parquet: other subtasks than those of .*one"):
        write_episodes([Dataset(root) for root in roots], tmp_path / "out")
