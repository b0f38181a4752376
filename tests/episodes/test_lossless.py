"""Depth, one channel, more than eight bits: every level is there after an edit, and what info.json says of it."""

from pathlib import Path

import numpy as np
import pytest
from tests.episodes.depth import KEY, add_depth, levels
from tests.episodes.edited import change_info, read_info

from presage.episodes.cutting import Recompress
from presage.episodes.dataset import Dataset
from presage.episodes.edit import write_episodes
from presage.episodes.grow import append_episodes
from presage.episodes.lossless import holds_colours
from presage.episodes.video import encoding
from presage.errors import UserError

ROUND = {"shape": [48, 64, 1], "names": ["height", "width", "channels"]}
DEPTHS = {
    "as LeRobot writes it": ("hevc", "gray12le", {**ROUND, "info": {"is_depth_map": True, "depth_unit": "mm"}}),
    "as LeRobot wrote it": ("hevc", "gray10le", {**ROUND, "info": {"video.is_depth_map": True}}),
    "in video_info": ("ffv1", "gray16le", {**ROUND, "info": None, "video_info": {"video.is_depth_map": True}}),
    "undeclared, of many bits": ("hevc", "yuv420p10le", {}),
    "undeclared, of one channel": ("h264", "gray", {}),
    "declared, in a format of colours": ("h264", "yuv420p", {"info": {"is_depth_map": True}}),
}


@pytest.mark.parametrize("name", DEPTHS)
@pytest.mark.parametrize("gop", [1, 250])
def test_no_edit_changes_a_level(tmp_path: Path, name: str, gop: int) -> None:
    codec, pix_fmt, entry = DEPTHS[name]
    old = Dataset(add_depth(tmp_path / "arm", codec, pix_fmt, gop, **entry))
    reencoded = write_episodes([old], tmp_path / "small", Recompress(encoding("h264", 30), 32))
    filtered = write_episodes([Dataset(old.root, [2, 1])], tmp_path / "kept")
    write_episodes([old, Dataset(tmp_path / "kept")], tmp_path / "both")
    append_episodes(tmp_path / "kept", [old])
    for folder, numbers in (("small", [0, 1, 2]), ("kept", [2, 1, 0, 1, 2]), ("both", [0, 1, 2, 2, 1])):
        new = Dataset(tmp_path / folder)
        for mine, theirs in enumerate(numbers):
            np.testing.assert_array_equal(levels(new, mine), levels(old, theirs))
        feature, before = read_info(new.root)["features"][KEY], read_info(old.root)["features"][KEY]
        for block in ("info", "video_info"):
            told, asked = feature.get(block) or {}, before.get(block) or {}
            same = {key: value for key, value in told.items() if key not in ("video.codec", "video.pix_fmt")}
            assert same == {key: value for key, value in asked.items() if key not in ("video.codec", "video.pix_fmt")}
        assert feature["shape"] == before["shape"]
    assert filtered.videos_compressed == (0 if gop == 1 else 2)
    assert any(KEY in note and "as they were" in note for note in reencoded.notes)
    assert Dataset(tmp_path / "small").features["observation.images.front"]["shape"] == [32, 42, 3]


def test_only_cameras_that_were_compressed_again_are_described_anew(tmp_path: Path) -> None:
    root = add_depth(
        tmp_path / "arm", "hevc", "gray12le", 250, **ROUND, info={"is_depth_map": True, "depth_unit": "mm"}
    )
    change_info(root, lambda info: info["features"]["observation.images.front"]["info"].update(lens="8 mm"))
    old = read_info(root)["features"]
    write_episodes([Dataset(root, [1])], tmp_path / "kept")
    kept = read_info(tmp_path / "kept")["features"]
    assert kept["observation.images.front"] == old["observation.images.front"]
    described = {"is_depth_map": True, "depth_unit": "mm", "video.codec": "hevc", "video.pix_fmt": "gray12le"}
    assert kept[KEY]["info"] == described
    write_episodes([Dataset(root)], tmp_path / "small", Recompress(encoding("hevc", 30), 32))
    small = read_info(tmp_path / "small")["features"]
    assert small[KEY] == old[KEY] | {"info": described}
    front = small["observation.images.front"]["info"]
    assert front["lens"] == "8 mm" and (front["video.codec"], front["video.pix_fmt"]) == ("hevc", "yuv420p")
    assert (front["video.height"], front["video.width"], front["video.crf"]) == (32, 42, 30)


def test_nothing_to_compress_again(tmp_path: Path) -> None:
    root = add_depth(tmp_path / "arm", "hevc", "gray12le", 1, info={"is_depth_map": True})
    change_info(root, lambda info: info["features"].pop("observation.images.front"))
    with pytest.raises(UserError, match="arm: no video of 8-bit colours to compress again"):
        write_episodes([Dataset(root)], tmp_path / "out", Recompress(encoding("h264", 30)))
    assert [path.name for path in tmp_path.iterdir()] == ["arm"]


def test_depth_and_colours_under_one_name_are_not_joined(tmp_path: Path) -> None:
    depth = add_depth(tmp_path / "a", "hevc", "gray12le", 1, info={"is_depth_map": True, "depth_unit": "mm"})
    other = add_depth(tmp_path / "b", "hevc", "gray12le", 1, info={"is_depth_map": True, "depth_unit": "m"})
    with pytest.raises(UserError, match=f"b: 'depth_unit' of '{KEY}' is 'm', .*a has 'mm'; convert"):
        write_episodes([Dataset(depth), Dataset(other)], tmp_path / "out")
    change_info(other, lambda info: info["features"][KEY].update(info={}))
    with pytest.raises(UserError, match=f"b: '{KEY}' is depth in .*a, but not in .*b; correct is_depth_map"):
        write_episodes([Dataset(depth), Dataset(other)], tmp_path / "out")


def test_formats_of_colours() -> None:
    assert all(map(holds_colours, ("yuv420p", "yuvj420p", "yuv444p", "nv12", "gbrp")))
    assert not any(
        map(holds_colours, ("gray", "gray12le", "gray16le", "yuv420p10le", "yuva420p", "rgb48le", "pal8", None))
    )
