"""Finished episodes survive whatever happens to the process that spools them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.episodes.samples import FPS, make_episode

from presage.episodes.dataset import Dataset
from presage.episodes.episode import Episode
from presage.episodes.spool import spool_episode, spooled_keys
from presage.episodes.writer import write_dataset
from presage.errors import UserError

SPOOL_FOREVER = """
import sys
from pathlib import Path
from presage.episodes.spool import spool_episode
from tests.episodes.samples import FPS, make_episode
episode = make_episode(0, length=30, size=64)
for number in range(100_000):
    spool_episode(Path(sys.argv[1]), f"{number:06d}", episode, FPS)
    print(f"{number:06d}", flush=True)
"""


def test_killed_process_loses_nothing_whole(tmp_path):
    spool = tmp_path / "data.partial"
    command = [sys.executable, "-c", SPOOL_FOREVER, str(spool)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        reported = [process.stdout.readline().strip() for _ in range(5)]
        time.sleep(0.004)  # somewhere inside the next episode
        os.kill(process.pid, signal.SIGKILL)
        reported += process.stdout.read().split()
    keys = spooled_keys(spool)
    assert set(reported) <= keys
    assert len(keys) <= len(reported) + 1
    dataset = Dataset(write_dataset(spool, tmp_path / "data", fps=FPS, robot_type=None))
    assert len(dataset.episodes) == len(keys)
    assert dataset.frames(len(keys) - 1, "front").shape == (30, 64, 64, 3)
    assert not spool.exists()


def test_unfinished_episode_is_no_key_and_is_not_written(tmp_path):
    spool = tmp_path / "data.partial"
    spool_episode(spool, "b", make_episode(0), FPS)
    (spool / ".a-0123").mkdir()
    (spool / ".a-0123" / "front.mp4").write_bytes(b"half")
    assert spooled_keys(spool) == {"b"}
    assert len(Dataset(write_dataset(spool, tmp_path / "data", fps=FPS, robot_type=None)).episodes) == 1


def test_key_already_there_is_kept(tmp_path):
    spool_episode(tmp_path, "a", make_episode(0, length=3), FPS)
    spool_episode(tmp_path, "a", make_episode(1, length=5), FPS)
    assert json.loads((tmp_path / "a" / "episode.json").read_text())["length"] == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_no_spool_has_no_keys(tmp_path):
    assert spooled_keys(tmp_path / "nowhere") == set()


FRAMES = np.zeros((3, 16, 16, 3), np.uint8)
BAD_EPISODES = {
    "NaN or infinite in row 1": Episode({}, {"action": np.array([[0.0], [np.nan], [0.0]])}, ""),
    "has 2 rows, expected 3": Episode({"front": FRAMES}, {"action": np.zeros((2, 4))}, ""),
    "give uint8 frames": Episode({"front": FRAMES.astype(np.float32)}, {}, ""),
    "is reserved": Episode({"front": FRAMES}, {"timestamp": np.zeros(3)}, ""),
    "name 'a/b' is not allowed": Episode({"front": FRAMES}, {"a/b": np.zeros(3)}, ""),
    "the episode is empty": Episode({}, {}, ""),
    "has 2 frames for 3 rows": Episode({"front": FRAMES, "top": FRAMES[:2]}, {}, ""),
    "has type object": Episode({"front": FRAMES}, {"action": np.array([None, 1, 2])}, ""),
}


@pytest.mark.parametrize("message", BAD_EPISODES)
def test_bad_episode_is_refused_in_one_line(tmp_path, message):
    with pytest.raises(UserError, match=message) as raised:
        spool_episode(tmp_path, "key", BAD_EPISODES[message], FPS)
    assert "\n" not in str(raised.value) and "'key'" in str(raised.value)
    assert spooled_keys(tmp_path) == set()


def test_bad_key_is_refused(tmp_path):
    with pytest.raises(UserError, match="episode key '../a' is not allowed"):
        spool_episode(tmp_path, "../a", make_episode(0), FPS)


def test_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="cannot write episode 'a' .*writable folder"):
        spool_episode(tmp_path / "file" / "spool", "a", make_episode(0), FPS)
    spool_episode(tmp_path / "spool", "a", make_episode(0), FPS)
    with pytest.raises(UserError, match="cannot be written .*writable folder"):
        write_dataset(tmp_path / "spool", tmp_path / "file" / "data", fps=FPS, robot_type=None)
    assert spooled_keys(tmp_path / "spool") == {"a"}
