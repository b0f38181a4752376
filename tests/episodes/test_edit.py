"""Edited datasets hold the numbers of their sources bit for bit, and their pictures without compressing them twice."""

import json
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.episodes.robots import write_numbers, write_robot
from tests.episodes.samples import make_episode

from presage.episodes.choose import Wanted, parse_episodes
from presage.episodes.cutting import Recompress
from presage.episodes.dataset import Dataset
from presage.episodes.disk import require_space
from presage.episodes.edit import write_episodes
from presage.episodes.grow import append_episodes
from presage.episodes.outcome import episode_success, with_success
from presage.episodes.statistics import column_statistics
from presage.episodes.video import Encoding, decode_spans, encode_clip, encoding
from presage.errors import UserError

LEROBOT = Path(__file__).parent / "lerobot_0_4_4"
COUNTED_ANEW = ("episode_index", "index", "task_index")


def assert_same(new: Dataset, numbers: list[int], old: Dataset, chosen: list[int], tolerance: int = 0) -> None:
    """Episodes `numbers` of `new` are the episodes `chosen` of `old`."""
    for mine, theirs in zip(numbers, chosen, strict=True):
        a, b = new.episodes[mine], old.episodes[theirs]
        told = with_success(b, episode_success(old)[theirs]).info
        assert (a.instruction, a.length, a.info) == (b.instruction, b.length, told)
        for name, feature in old.features.items():
            if feature["dtype"] not in ("image", "video") and name not in COUNTED_ANEW:
                np.testing.assert_array_equal(new.recorded(name)[a.rows], old.recorded(name)[b.rows], name)
                np.testing.assert_array_equal(new.column(name)[a.rows], old.column(name)[b.rows], name)
        for camera in old.cameras:
            new_frames, old_frames = new.frames(mine, camera), old.frames(theirs, camera)
            np.testing.assert_allclose(new_frames.astype(int), old_frames.astype(int), atol=tolerance)


def test_filtered_episodes_are_copied(root: Path, tmp_path: Path) -> None:
    written = write_episodes([Dataset(root, [1, 3])], tmp_path / "out")
    new = Dataset(tmp_path / "out")
    assert_same(new, [0, 1], Dataset(root), [1, 3])
    assert (written.episodes, written.rows, written.videos_copied, written.videos_compressed) == (2, 12, 4, 0)
    assert new.column("index").tolist() == list(range(12)) and new.tasks == ["push the puck"]
    assert new.column("episode_index").tolist() == [0] * 5 + [1] * 7
    np.testing.assert_array_equal(new.stats["action"]["q99"], column_statistics(valid_actions(new))["q99"])
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def valid_actions(data: Dataset) -> np.ndarray:
    return data.column("action")[data.recorded("action") & data.column("action.valid")]


def test_merging_old_and_new_versions_with_missing_columns(root: Path, old_root: Path, tmp_path: Path, build) -> None:
    plain = make_episode(9, actions=False)
    other = build([plain], "other")
    parts = [Dataset(old_root), Dataset(other), Dataset(root)]
    written = write_episodes(parts, tmp_path / "out")
    new = Dataset(tmp_path / "out")
    assert_same(new, [0, 1, 2, 3], parts[0], [0, 1, 2, 3])
    assert_same(new, [5, 6, 7, 8], parts[2], [0, 1, 2, 3])
    assert not new.recorded("action")[new.episodes[4].rows].any()
    assert written.videos_compressed == 0 and new.version == "v3.0"
    assert set(new.tasks) == {"open the drawer", "push the puck"}


def test_statistics_of_images_add_up(root: Path, tmp_path: Path) -> None:
    write_episodes([Dataset(root)], tmp_path / "out")
    old, new = Dataset(root).stats, Dataset(tmp_path / "out").stats
    for figure in ("mean", "std", "min", "max", "count"):
        np.testing.assert_allclose(
            new["observation.images.top"][figure], old["observation.images.top"][figure], atol=1e-9
        )
    assert set(new) == set(old)


@pytest.mark.parametrize("kind", ["video", "image"])
def test_what_lerobot_wrote(kind: str, tmp_path: Path) -> None:
    data = LEROBOT / kind
    written = write_episodes([Dataset(data, [0, 2]), Dataset(data, [1])], tmp_path / "out")
    assert_same(Dataset(tmp_path / "out"), [0, 1, 2], Dataset(data), [0, 2, 1])
    assert written.videos_compressed == 0
    tasks = pq.read_table(tmp_path / "out/meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]


@pytest.mark.parametrize(
    ("codec", "options"), [("libx264", {"g": "12", "sc_threshold": "0"}), ("libsvtav1", {"g": "12", "preset": "12"})]
)
def test_episodes_that_begin_between_key_frames_are_compressed_again(tmp_path: Path, codec: str, options: dict) -> None:
    root = write_robot(tmp_path / "arm", episodes=3, length=12, size=(64, 64))
    frames = np.concatenate([Dataset(root).frames(e, "front") for e in range(3)])
    video = root / "videos/observation.images.front/chunk-000/file-000.mp4"
    encode_clip(video, frames, 30, Encoding(codec, "yuv420p", options))  # key frames 0, 12 and 24: episodes can be cut
    whole = write_episodes([Dataset(root, [2]), Dataset(root, [0])], tmp_path / "whole")
    assert (whole.videos_copied, whole.videos_compressed) == (2, 0)
    assert_same(Dataset(tmp_path / "whole"), [0, 1], Dataset(root), [2, 0])
    encode_clip(video, frames, 30, Encoding(codec, "yuv420p", options | {"g": "16"}))  # 0, 16 and 32: only the first
    mixed = write_episodes([Dataset(root)], tmp_path / "mixed")
    assert mixed.videos_compressed >= 2
    assert_same(Dataset(tmp_path / "mixed"), [0, 1, 2], Dataset(root), [0, 1, 2], tolerance=6)


def test_hevc_of_small_pictures(tmp_path: Path) -> None:
    """x265 used to end the process here, most of the time."""
    root = write_robot(tmp_path / "arm", size=(24, 40), episodes=1, length=8)
    for number in range(10):
        write_episodes([Dataset(root)], tmp_path / str(number), Recompress(encoding("hevc", 30), 24))
    assert Dataset(tmp_path / "9").frames(0, "front").shape == (8, 24, 40, 3)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_reencoding_changes_size_and_codec_and_nothing_else(tmp_path: Path, codec: str) -> None:
    root = write_robot(tmp_path / "arm", length=9, size=(96, 128))
    write_episodes([Dataset(root)], tmp_path / "out", Recompress(encoding(codec, 20), 64))
    old, new = Dataset(root), Dataset(tmp_path / "out")
    feature = new.features["observation.images.front"]
    assert feature["shape"] == [64, 86, 3] and feature["info"]["video.codec"] == codec
    np.testing.assert_array_equal(new.column("action"), old.column("action"))
    for e in range(2):
        frames = new.frames(e, "front")
        assert frames.shape == (9, 64, 86, 3)
        np.testing.assert_allclose(frames.mean((1, 2, 3)), old.frames(e, "front").mean((1, 2, 3)), atol=3)


def add_sound(video: Path) -> None:
    """Put an audio track beside the pictures of an mp4."""
    silent = video.rename(video.with_name("silent.mp4"))
    with av.open(str(silent)) as source, av.open(str(video), "w", format="mp4") as container:
        pictures = container.add_stream_from_template(source.streams.video[0])
        sound = container.add_stream("aac", rate=8000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = pictures
                container.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux([*sound.encode(frame), *sound.encode(None)])
    silent.unlink()


def test_sound_is_left_behind_with_a_word_and_never_lost(tmp_path: Path) -> None:
    root, other = write_robot(tmp_path / "arm"), write_robot(tmp_path / "other")
    video = "videos/observation.images.front/chunk-000/file-000.mp4"
    add_sound(root / video)
    with av.open(str(root / video)) as container:
        assert container.streams.audio
    written = write_episodes([Dataset(root)], tmp_path / "out")
    assert written.left == [(root, f"the sound of {video}")]
    assert_same(Dataset(tmp_path / "out"), [0, 1], Dataset(root), [0, 1])
    assert Dataset(tmp_path / "out").features["observation.images.front"]["info"]["has_audio"] is False
    with pytest.raises(UserError, match="arm: the sound of .* would be lost"):
        append_episodes(root, [Dataset(other)])
    assert len(Dataset(root).episodes) == 2


def test_what_does_not_fit_together(root: Path, tmp_path: Path, build) -> None:
    def refused(other: Path, says: str) -> None:
        with pytest.raises(UserError, match=says):
            write_episodes([Dataset(root), Dataset(other)], tmp_path / "out")
        assert not (tmp_path / "out").exists()

    refused(write_robot(tmp_path / "fast", fps=50), "50 rows a second, .* has 5")
    one_camera = make_episode(0)
    del one_camera.frames["top"]
    refused(build([one_camera], "one"), "no camera 'observation.images.top'")
    wide = make_episode(0)
    wide.columns["action"] = wide.columns["action"][:, :7]
    refused(build([wide], "wide"), r"'action' is float32 \[7\], elsewhere float32 \[16\]")
    with pytest.raises(UserError, match="exists already"):
        write_episodes([Dataset(root)], root)


def test_a_disk_that_is_too_small(root: Path, tmp_path: Path, monkeypatch) -> None:
    class Usage:
        free = 600 * 1024**2

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    require_space(tmp_path / "not" / "yet" / "there", 1000, "x")
    with pytest.raises(UserError, match=r"needs 200 MB and .* have to stay free, but only 629 MB are"):
        require_space(tmp_path / "x", 200_000_000, "the new dataset")
    Usage.free = 0
    with pytest.raises(UserError, match="choose another disk"):
        write_episodes([Dataset(root)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damage_in_the_middle_leaves_nothing(root: Path, tmp_path: Path) -> None:
    (root / "videos/observation.images.top/chunk-000/file-000.mp4").unlink()
    with pytest.raises(UserError, match="file-000.mp4: the video is missing"):
        write_episodes([Dataset(root)], tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_numbers_and_conditions() -> None:
    assert parse_episodes("0:3, 7,2:5") == [0, 1, 2, 3, 4, 7]
    for text in ("", "a", "3:3", "5:2", "-1"):
        with pytest.raises(UserError, match="write numbers and spans"):
            parse_episodes(text)


def test_conditions_hold_together(root: Path) -> None:
    def kept(**conditions: object) -> list[int]:
        data, wanted = Dataset(root), Wanted(**conditions)
        return [e.index for e, success in zip(data.episodes, episode_success(data)) if wanted.holds(e, success)]

    assert kept(contains="PUCK") == [1, 3] and kept(contains="push-v3") == [0, 1, 2, 3]
    assert kept(success=True) == [0, 2] and kept(success=False, min_length=6) == [3]
    assert kept(max_length=5) == [0, 1] and kept(numbers=frozenset([1, 2]), contains="drawer") == [2]


def test_a_copy_of_failures_alone_still_knows_that_they_failed(tmp_path: Path) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        told = {} if episode == 3 else {"next.success": np.arange(4) > 4 * episode}
        return {"action": np.zeros((4, 2), np.float32)} | told

    source = write_numbers(tmp_path / "d", columns, episodes=4)
    write_episodes([Dataset(source, [1, 2, 3])], tmp_path / "failed")
    write_episodes([Dataset(tmp_path / "failed", [1, 2])], tmp_path / "again")
    assert episode_success(Dataset(tmp_path / "failed")) == [False, False, None]
    assert episode_success(Dataset(tmp_path / "again")) == [False, None]


def test_facts_in_words_stay_words(tmp_path: Path) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        return {"action": np.zeros((4, 2), np.float32), "next.success": np.arange(4) > 4 * episode}

    told = write_numbers(tmp_path / "told", columns, facts=lambda e: {"success": "no" if e else "yes"})
    silent = write_numbers(tmp_path / "silent", columns)
    write_episodes([Dataset(told), Dataset(silent)], tmp_path / "all")
    both = Dataset(tmp_path / "all")
    assert [e.info.get("success") for e in both.episodes] == ["yes", "no", None, None]
    assert episode_success(both) == [True, False, True, False]


def test_only_the_files_of_chosen_episodes_are_needed(old_root: Path) -> None:
    whole = Dataset(old_root).column("action")
    for number in (0, 1, 2):
        next(old_root.rglob(f"data/**/episode_{number:06d}.parquet")).unlink()
    data = Dataset(old_root, [3])
    assert data.num_rows == 7 and data.episodes[0].index == 3 and data.episodes[0].start == 0
    np.testing.assert_array_equal(data.column("action"), whole[-7:])
    assert next(data.iterate_frames([0], "front")).shape == (7, 16, 16, 3)
    with pytest.raises(UserError, match="no episode 4; it has episodes 0:4"):
        Dataset(old_root, [4])
    assert next(decode_spans(old_root / data.episodes[0].videos["observation.images.front"][0], [(0, 7)], 5)).any()
