"""Every row gets its own frame where a video's clock is not quite that of its dataset, or the episode is named."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.episodes.edited import EPISODES
from tests.episodes.robots import write_robot
from tests.interface.commands.test_data_commands import done

from presage.episodes.cache import frame_cache
from presage.episodes.clock import Shown, counted_times
from presage.episodes.dataset import Dataset
from presage.episodes.edit import write_episodes
from presage.episodes.survey import survey
from presage.errors import UserError

VIDEO = "videos/observation.images.front/chunk-000/file-000.mp4"
NTSC = 30000 / 1001


def write_video(path: Path, seconds: np.ndarray, bframes: int = 0) -> None:
    """Frame t has grey level 60 + t % 150 and is shown at seconds[t]."""
    options = {"g": "12", "bf": str(bframes), "crf": "15"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90000)
        for t, time in enumerate(seconds):
            image = np.full((48, 64, 3), 60 + t % 150, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(time * 90000), Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def set_starts(root: Path, starts: list[float]) -> None:
    table = pq.read_table(root / EPISODES)
    name = "videos/observation.images.front/from_timestamp"
    pq.write_table(table.set_column(table.column_names.index(name), name, pa.array(starts)), root / EPISODES)


def levels(data: Dataset, position: int) -> np.ndarray:
    return data.frames(position, "front").mean((1, 2, 3))


def expected(first: int, length: int) -> np.ndarray:
    return 60 + np.arange(first, first + length) % 150


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("actual", [False, True])
def test_2997_frames_in_a_dataset_of_30(tmp_path: Path, bframes: int, actual: bool) -> None:
    """Frames are counted, whether meta/ has the times of the file or those of rows."""
    root = write_robot(tmp_path / "arm", episodes=3, length=400)
    write_video(root / VIDEO, np.arange(1200) / NTSC, bframes)
    set_starts(root, [n / (NTSC if actual else 30) for n in (0, 400, 800)])
    data = Dataset(root)
    for position in range(3):
        np.testing.assert_allclose(levels(data, position), expected(400 * position, 400), atol=2)
    np.testing.assert_allclose(levels(Dataset(root, [2]), 0), expected(800, 400), atol=2)
    cached = frame_cache(data, ["front"], 16)
    np.testing.assert_allclose(cached.mean((1, 2, 3, 4)), 60 + np.arange(len(cached)) % 150, atol=2)
    found = survey(root, full=True)
    assert found.gaps == [] and found.damage == []
    assert "29.97 frames a second, meta/info.json says fps 30; frames are counted" in found.notes[0]


def test_filter_puts_the_clock_right(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm", episodes=3, length=400)
    write_video(root / VIDEO, np.arange(1200) / NTSC)
    set_starts(root, [n / NTSC for n in (0, 400, 800)])
    done("dataset", "filter", root, "--out", tmp_path / "out", "--episodes", "0,2")
    mended = Dataset(tmp_path / "out")
    np.testing.assert_allclose(levels(mended, 1), expected(800, 400), atol=2)
    assert survey(tmp_path / "out", full=True).notes == []


def test_a_shared_file_that_drifts_at_every_episode(tmp_path: Path) -> None:
    """Joined with a little too much time for each: the fifth begins more than a frame late."""
    root = write_robot(tmp_path / "arm", episodes=5, length=10)
    times = np.concatenate([(10 * n + np.arange(10)) / 30 + n * 0.012 for n in range(5)])
    write_video(root / VIDEO, times)
    data = Dataset(root)
    for position in range(5):
        np.testing.assert_allclose(levels(data, position), expected(10 * position, 10), atol=2)
    found = survey(root, full=True)
    assert found.gaps == [] and "frames are counted" in found.notes[0]


def test_frames_are_not_counted_where_one_is_missing(tmp_path: Path) -> None:
    """As many frames as rows, but one lost and one too many: counting would show later rows the wrong frame."""
    root = write_robot(tmp_path / "arm", episodes=1, length=40)
    write_video(root / VIDEO, np.delete(np.arange(41), 20) / 30)
    with pytest.raises(UserError, match=r"episode 0: only 20 of 40 frames behind 0.000 s can be read; leave it out"):
        Dataset(root).frames(0, "front")
    assert survey(root).gaps == ["episode 0: camera 'front' has 39 of 40 frames"]


def test_an_uneven_clock_is_no_drift() -> None:
    shown = [Shown(0.0, 30, 0)]
    assert counted_times(shown, 30, np.arange(30) / 30 + 0.004 * (np.arange(30) % 2)) is None
    assert counted_times(shown, 30, np.arange(31) / NTSC) is None
    assert counted_times(shown, 30, np.arange(30) / 25) is None
    assert counted_times([], 30, np.arange(0.0)) is None


@pytest.mark.parametrize(("rate", "says"), [(29.0, "29 frames a second"), (25.0, "25 frames a second")])
def test_another_rate_is_refused_with_both_rates(tmp_path: Path, rate: float, says: str) -> None:
    root = write_robot(tmp_path / "arm", episodes=1, length=60)
    write_video(root / VIDEO, np.arange(60) / rate)
    with pytest.raises(
        UserError, match=rf"episode 0: only \d+ of 60 .*{says}, meta/info.json says fps 30\); leave it out"
    ):
        Dataset(root).frames(0, "front")


def test_a_short_video_names_its_episode(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm", episodes=2, length=31)
    write_video(root / VIDEO, np.arange(61) / 30)
    data = Dataset(root)
    assert len(data.frames(0, "front")) == 31
    with pytest.raises(
        UserError, match="episode 1: only 30 of 31 frames .*leave it out .--episodes, or presage dataset"
    ):
        data.frames(1, "front")
    with pytest.raises(UserError, match="episode 1: only"):
        frame_cache(Dataset(root, [1]), ["front"], 16)


def test_a_length_that_no_video_holds_takes_no_memory(old_root: Path) -> None:
    path = old_root / "meta/episodes.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["length"] = 2_000_000_000
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match="episode 0: only 4 of 2000000000 frames"):
        Dataset(old_root).frames(0, "front")


@pytest.mark.parametrize("late", [0.5, 2.0, 20.0])
def test_starts_that_add_up_wrong_are_counted(tmp_path: Path, late: float) -> None:
    """By time the second episode would silently show frames of the third, and only the third would lack some."""
    root = write_robot(tmp_path / "arm", episodes=3, length=40)
    write_video(root / VIDEO, np.arange(120) / 30)
    set_starts(root, [n * (40 + late) / 30 for n in range(3)])
    for position in range(3):
        np.testing.assert_allclose(levels(Dataset(root, [position]), 0), expected(40 * position, 40), atol=2)
    found = survey(root, full=True)
    assert found.gaps == found.damage == [] and "episodes do not begin where meta/ says" in found.notes[0]


def test_a_video_whose_clock_begins_late_is_counted(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm", episodes=2, length=20)
    write_video(root / VIDEO, 0.5 + np.arange(40) / 30)
    np.testing.assert_allclose(levels(Dataset(root), 1), expected(20, 20), atol=2)


def test_frames_are_not_counted_across_a_lost_one(tmp_path: Path) -> None:
    """The second episode lost its first frame, the last has one too many: by time, only the second is refused."""
    root = write_robot(tmp_path / "arm", episodes=3, length=20)
    write_video(root / VIDEO, np.delete(np.arange(61), 20) / 30)
    data = Dataset(root)
    np.testing.assert_allclose(levels(data, 2), expected(39, 20), atol=2)
    with pytest.raises(UserError, match="episode 1: only 0 of 20 frames .*leave it out"):
        data.frames(1, "front")


def test_an_episode_that_runs_into_the_next_is_refused(tmp_path: Path) -> None:
    """Its video was a frame short, and the next begins right behind: its last row would show the next one's first
    frame."""
    root = write_robot(tmp_path / "arm", episodes=3, length=20)
    write_video(root / VIDEO, np.arange(59) / 30)
    set_starts(root, [0, 20 / 30, 39 / 30])
    says = "file-000.mp4: the next episode begins before all 20 frames of episode 1 are shown; leave it out"
    with pytest.raises(UserError, match=says):
        Dataset(root).frames(1, "front")
    with pytest.raises(UserError, match=says):
        frame_cache(Dataset(root), ["front"], 16)
    assert says in survey(root).damage[0]
    with pytest.raises(UserError, match=says):
        write_episodes([Dataset(root, [0, 1])], tmp_path / "out")
    np.testing.assert_allclose(levels(Dataset(root, [0, 2]), 1), expected(39, 20), atol=2)


def test_frames_lost_without_a_gap_are_told(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm", episodes=3, length=20)
    write_video(root / VIDEO, np.arange(59) / 30)
    says = "59 frames for 60 rows of 3 episodes, without a gap that tells which are missing"
    with pytest.raises(
        UserError, match=f"episode 2: only 19 of 20 .*{says}: earlier episodes may show wrong frames.*leave"
    ):
        Dataset(root).frames(2, "front")
    assert says in survey(root).gaps[0]
