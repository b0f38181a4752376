"""Caches hold what decoding gives, are built once, follow the dataset and appear whole."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tests.episodes.samples import make_episode

from presage.episodes import cache
from presage.episodes.cache import frame_cache, row_cache
from presage.episodes.dataset import Dataset
from presage.errors import UserError


def cached_files(root):
    return sorted(path.name for path in (root / ".cache").iterdir())


def test_frame_cache_holds_the_decoded_frames(root):
    dataset = Dataset(root)
    frames = frame_cache(dataset, ["top", "front"], 16)
    assert isinstance(frames, np.memmap) and frames.shape == (22, 2, 16, 16, 3)
    for record in dataset.episodes:
        for slot, camera in enumerate(["top", "front"]):
            np.testing.assert_array_equal(frames[record.rows, slot], dataset.frames(record.index, camera))


def test_frame_cache_is_built_once_and_again_when_the_dataset_changes(root, monkeypatch):
    frame_cache(Dataset(root), ["front"], 16)
    (before,) = cached_files(root)
    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "iterate_frames", None)
        frame_cache(Dataset(root), ["front"], 16)
    os.utime(root / "meta/info.json")
    frame_cache(Dataset(root), ["front"], 16)
    assert cached_files(root) == [before]
    info = root / "meta/info.json"
    info.write_text(info.read_text() + "\n")
    frame_cache(Dataset(root), ["front"], 16)
    (after,) = cached_files(root)
    assert before != after


def test_cameras_whose_names_joined_are_one_name_have_caches_of_their_own(build):
    episode = make_episode(0)
    front, top = episode.frames.values()
    episode = replace(episode, frames={"a": front, "b": top, "a-b": top})
    root = build([episode])
    assert frame_cache(Dataset(root), ["a", "b"], 16).shape[1] == 2
    assert frame_cache(Dataset(root), ["a-b"], 16).shape[1] == 1


def test_frame_cache_averages_to_the_size(build):
    dataset = Dataset(build([make_episode(0, size=32)]))
    frames = frame_cache(dataset, ["front"], 16)
    expected = dataset.frames(0, "front").reshape(6, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(frames[:, 0], expected, atol=3)


def test_wide_frames_are_cropped_to_their_centre(build):
    episode = make_episode(0, size=32)
    episode.frames["front"] = episode.frames["front"][:, 8:24]
    dataset = Dataset(build([episode]))
    np.testing.assert_array_equal(frame_cache(dataset, ["front"], 16)[:, 0], dataset.frames(0, "front")[:, :, 8:24])


def test_row_cache_follows_dataset_and_key(root):
    dataset = Dataset(root)
    built = []

    def compute(rows: slice) -> np.ndarray:
        built.append(rows)
        return np.arange(22 * 3, dtype=np.float16).reshape(22, 3)[rows]

    for _ in range(2):
        latents = row_cache(dataset, "latents", compute, key="weights 1", block=10)
    np.testing.assert_array_equal(latents, compute(slice(None)))
    assert built == [slice(0, 10), slice(10, 20), slice(20, 22), slice(None)]
    row_cache(dataset, "latents", compute, key="weights 2")
    assert len(built) == 5 and len(cached_files(root)) == 1


def test_failed_build_leaves_nothing(root):
    dataset = Dataset(root)
    with pytest.raises(ZeroDivisionError):
        row_cache(dataset, "latents", lambda rows: np.zeros((10, 2)) if rows.start == 0 else 1 // 0, block=10)
    assert cached_files(root) == []


def test_leftovers_of_a_killed_build_are_removed(root):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    (root / ".cache").mkdir()
    dead = root / ".cache" / f".latents.0123456789abcdef.npy.{process.pid}"
    alive = root / ".cache" / f".latents.0123456789abcdef.npy.{os.getppid()}"
    dead.touch()
    alive.touch()
    row_cache(Dataset(root), "latents", lambda rows: np.zeros((22, 1)))
    assert alive.exists() and not dead.exists()


KILLED = """
import os, sys
import numpy as np
from presage.episodes import cache
from presage.episodes.dataset import Dataset

cache._SAVE_SECONDS = 0.0
calls = []

def compute(rows):
    calls.append(rows)
    if len(calls) == 4:
        os._exit(9)
    return np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]

cache.row_cache(Dataset(sys.argv[1]), "latents", compute, block=5)
"""


def test_a_killed_build_goes_on_where_it_was(root):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(root)])
    assert killed.returncode == 9 and len(cached_files(root)) == 2  # the hidden array and its journal
    computed = []

    def compute(rows: slice) -> np.ndarray:
        computed.append((rows.start, rows.stop))
        return np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]

    latents = row_cache(Dataset(root), "latents", compute, block=5)
    np.testing.assert_array_equal(latents[:, 0], np.arange(22))
    assert computed == [(0, 5), (15, 20), (20, 22)]  # the first one tells the shape; three had been noted
    assert len(cached_files(root)) == 1


def test_an_interrupted_frame_cache_goes_on_where_it_was(root, monkeypatch):
    monkeypatch.setattr(cache, "_EPISODES_PER_JOB", 1)
    dataset, iterate, decoded = Dataset(root), Dataset.iterate_frames, []

    def interrupted(self, episodes, camera, *more):
        decoded.append((episodes[0], camera))
        if len(decoded) == 6:
            raise KeyboardInterrupt
        return iterate(self, episodes, camera, *more)

    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Dataset, "iterate_frames", interrupted)
        frame_cache(dataset, ["front", "top"], 16)
    decoded.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "iterate_frames", interrupted)
        frames = frame_cache(dataset, ["front", "top"], 16)
    assert len(decoded) == 3
    for record in dataset.episodes:
        np.testing.assert_array_equal(frames[record.rows, 1], dataset.frames(record.index, "top"))


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(root, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10_000))
    with pytest.raises(UserError, match="frames-16-front .*; free space"):
        frame_cache(Dataset(root), ["front"], 16)
    assert cached_files(root) == []


def test_damaged_video_stops_the_build(root):
    dataset = Dataset(root)
    (root / dataset.episodes[0].videos["observation.images.top"][0]).write_bytes(b"not a video")
    with pytest.raises(UserError, match="file-000.mp4: the video is damaged"):
        frame_cache(dataset, ["front", "top"], 16)
    assert cached_files(root) == []


def test_unwritable_folder_is_one_line(root):
    (root / ".cache").write_text("in the way")
    with pytest.raises(UserError, match=r"\.cache: cannot be written .*make the dataset folder writable"):
        frame_cache(Dataset(root), ["front"], 16)


def test_unknown_camera_and_bad_name(root):
    with pytest.raises(UserError, match="no camera 'wrist'; it has front, top"):
        frame_cache(Dataset(root), ["wrist"], 16)
    with pytest.raises(UserError, match="cache name 'a/b'"):
        row_cache(Dataset(root), "a/b", lambda rows: np.zeros(22))


def test_decoding_uses_every_job(root, monkeypatch):
    monkeypatch.setattr(cache, "_EPISODES_PER_JOB", 1)
    frames = frame_cache(Dataset(root), ["front"], 16)
    np.testing.assert_array_equal(frames[4:9, 0], Dataset(root).frames(1, "front"))
