"""Finished episodes survive whatever happens to the process that spools them."""

import dataclasses
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
from presage.episodes.spool import begun_alike, spool_episode, spooled_keys
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


def test_the_same_episode_again_changes_nothing(tmp_path):
    for _ in range(2):
        spool_episode(tmp_path, "a", make_episode(0, length=3), FPS)
    assert json.loads((tmp_path / "a" / "episode.json").read_text())["length"] == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def corrected(**changes: object) -> Episode:
    return dataclasses.replace(make_episode(0), **changes)


OTHERS = {
    "a number": (corrected(columns=make_episode(0).columns | {"quality": np.zeros(6, np.float32)}), FPS),
    "a type": (corrected(columns=make_episode(0).columns | {"quality": np.ones(6)}), FPS),
    "a pixel": (corrected(frames={name: frames + np.uint8(1) for name, frames in make_episode(0).frames.items()}), FPS),
    "a word": (corrected(instruction="close the drawer"), FPS),
    "a fact": (corrected(info={"success": False}), FPS),
    "the rate": (make_episode(0), FPS + 1),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_episode_under_a_key_is_refused(tmp_path, what):
    spool_episode(tmp_path / "data.partial", "a", make_episode(0), FPS)
    before = (tmp_path / "data.partial/a/rows.npz").read_bytes()
    with pytest.raises(
        UserError, match="data.partial/a: holds another episode, .* delete .*data.partial and run again"
    ):
        spool_episode(tmp_path / "data.partial", "a", *OTHERS[what])
    assert (tmp_path / "data.partial/a/rows.npz").read_bytes() == before


def test_episodes_of_an_earlier_run_are_told(tmp_path, capfd):
    spool = tmp_path / "data.partial"
    for number, key in enumerate("abc"):
        spool_episode(spool, key, make_episode(number), FPS)
        os.utime(spool / key, (0, 0))
    spool_episode(spool, "b", make_episode(1), FPS)  # the conversion runs again from here on
    write_dataset(spool, tmp_path / "data", fps=FPS, robot_type=None)
    assert "data.partial: 2 of 3 episodes are of an earlier run (a to c)" in capfd.readouterr().err


def test_a_spool_is_begun_anew_until_it_has_an_episode(tmp_path):
    spool = tmp_path / "data.partial"
    assert begun_alike(spool, {"size": 16}) and begun_alike(spool, {"size": 32, "cameras": ("top",)})
    spool_episode(spool, "a", make_episode(0), FPS)
    assert begun_alike(spool, {"size": 32, "cameras": ("top",)})
    with pytest.raises(
        UserError, match=r'data.partial: was begun with cameras \["top"\], now it is \["front"\]; remove'
    ):
        begun_alike(spool, {"size": 32, "cameras": ("front",)})


def test_episodes_that_do_not_fit_together_leave_nothing_half_written(tmp_path):
    for size in (16, 32):
        spool_episode(tmp_path / "data.partial", str(size), make_episode(0, size=size), FPS)
    with pytest.raises(UserError, match="write them apart"):
        write_dataset(tmp_path / "data.partial", tmp_path / "data", fps=FPS, robot_type=None)
    assert [path.name for path in tmp_path.iterdir()] == ["data.partial"]


def test_columns_may_be_called_as_numpy_calls_its_own(tmp_path):
    columns = {name: np.arange(6.0) for name in ("file", "allow_pickle", "arr_0")}
    spool_episode(tmp_path / "data.partial", "a", Episode({}, columns, ""), FPS)
    data = Dataset(write_dataset(tmp_path / "data.partial", tmp_path / "data", fps=FPS, robot_type=None))
    assert all(data.column(name).tolist() == list(range(6)) for name in columns)


def test_no_spool_has_no_keys(tmp_path):
    assert spooled_keys(tmp_path / "nowhere") == set()


FRAMES = np.zeros((3, 16, 16, 3), np.uint8)
ACTION = {"action": np.zeros((3, 2), np.float32)}
BAD_EPISODES = {
    "NaN or infinite in row 1": Episode({}, {"action": np.array([[0.0], [np.nan], [0.0]])}, ""),
    "has 2 rows, expected 3": Episode({"front": FRAMES}, {"action": np.zeros((2, 4))}, ""),
    "give uint8 frames": Episode({"front": FRAMES.astype(np.float32)}, {}, ""),
    r"'front' is uint8 \(3, 0, 16, 3\)": Episode({"front": FRAMES[:, :0]}, {}, ""),
    r"'front' is uint8 \(3, 16, 16\)": Episode({"front": FRAMES[..., 0]}, {}, ""),
    "is reserved": Episode({"front": FRAMES}, {"timestamp": np.zeros(3)}, ""),
    "name 'a/b' is not allowed": Episode({"front": FRAMES}, {"a/b": np.zeros(3)}, ""),
    "name 7 is not allowed": Episode({7: FRAMES}, {}, ""),
    "the episode is empty": Episode({}, {}, ""),
    "episode is empty; record": Episode({"front": FRAMES[:0]}, {}, ""),
    "has 2 frames for 3 rows": Episode({"front": FRAMES, "top": FRAMES[:2]}, {}, ""),
    "has type object": Episode({"front": FRAMES}, {"action": np.array([None, 1, 2])}, ""),
    "has type float128": Episode({"front": FRAMES}, {"action": np.zeros(3, np.longdouble)}, ""),
    "has type >f4": Episode({"front": FRAMES}, {"action": np.zeros(3, ">f4")}, ""),
    "instruction is None; give a text": Episode({"front": FRAMES}, ACTION, None),
    "instruction is b'go'; give a text": Episode({"front": FRAMES}, ACTION, b"go"),
    "instruction is '.ud800'; give a text": Episode({"front": FRAMES}, ACTION, "\ud800"),
    "column 'action' is a list; give a numpy array": Episode({"front": FRAMES}, {"action": [[0.0], [1.0], [2.0]]}, ""),
    "column 'action' is a float; give a numpy array": Episode({"front": FRAMES}, {"action": 1.0}, ""),
    "camera 'front' is a list; give a numpy array": Episode({"front": list(FRAMES)}, ACTION, ""),
    "columns is a ndarray; give a dict": Episode({"front": FRAMES}, np.zeros((3, 2)), ""),
    "'observation.images.front' is a camera and a column": Episode(
        {"front": FRAMES}, {"observation.images.front": np.zeros(3)}, ""
    ),
    "info 'success' is None; give a text": Episode({"front": FRAMES}, ACTION, "", {"success": None}),
    "info 'pose' is .*; give a text": Episode({"front": FRAMES}, ACTION, "", {"pose": [1, 2]}),
    "info 'seed' is .*; give a text, a number of 64 bits": Episode({"front": FRAMES}, ACTION, "", {"seed": 2**64}),
}


@pytest.mark.parametrize("fps", [0, -5, float("nan"), None, "30"])
def test_a_rate_that_is_none(tmp_path, fps):
    with pytest.raises(UserError, match="fps of episode 'a' is .*; give a positive number"):
        spool_episode(tmp_path, "a", make_episode(0), fps)


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
