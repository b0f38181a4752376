"""Batches hold the frames of their rows, and a step's windows follow from seed and step number alone."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.episodes.samples import FPS, make_episode

from presage.episodes import loader as module
from presage.episodes.dataset import Dataset
from presage.episodes.loader import Batch, Loader
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset
from presage.errors import UserError


@pytest.fixture(scope="module")
def datasets(tmp_path_factory) -> list[Dataset]:
    """Two datasets of four and three episodes."""
    folder = tmp_path_factory.mktemp("loader")
    roots = []
    for name, seeds in (("a", range(4)), ("b", range(4, 7))):
        for seed in seeds:
            spool_episode(folder / f"{name}.partial", f"{seed:03d}", make_episode(seed, length=4 + seed), FPS)
        roots.append(write_dataset(folder / f"{name}.partial", folder / name, fps=FPS, robot_type=None))
    return [Dataset(root) for root in roots]


def take(loader: Loader, count: int, start: int = 0) -> list[Batch]:
    batches = loader.batches(start)
    found = list(islice(batches, count))
    batches.close()
    return found


def assert_equal(one: Batch, other: Batch) -> None:
    assert one.step == other.step
    for name in ("source", "rows", "is_pad"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("frames", "columns"):
        for key, values in getattr(one, name).items():
            np.testing.assert_array_equal(values, getattr(other, name)[key])


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_batches_hold_the_frames_and_columns_of_their_rows(datasets, cached, stride):
    loader = Loader(
        datasets, batch=5, window=4, stride=stride, columns=["action"], size=16 if cached else None, cached=cached
    )
    every = {
        camera: [np.concatenate([d.frames(e, camera) for e in range(len(d.episodes))]) for d in datasets]
        for camera in ("front", "top")
    }
    for batch in take(loader, 6):
        assert batch.is_pad.shape == (5, 4) and set(batch.frames) == {"front", "top"}
        for b, number in enumerate(batch.source):
            for camera, frames in batch.frames.items():
                np.testing.assert_array_equal(frames[b], every[camera][number][batch.rows[b]])
            expected = datasets[number].column("action")[batch.rows[b]]
            np.testing.assert_array_equal(batch.columns["action"][b], expected)


@given(
    start=st.integers(0, 30),
    seed=st.integers(0, 3),
    threads=st.integers(1, 3),
    horizon=st.integers(1, 5),
    cached=st.booleans(),
)
def test_a_step_follows_from_seed_and_number(datasets, start, seed, threads, horizon, cached):
    """Whatever the threads, the horizon and the source of the frames, and wherever loading began."""
    reference = Loader(datasets, batch=3, window=4, size=16, weights=[1, 2], columns=["quality"], seed=seed)
    other = Loader(
        datasets,
        batch=3,
        window=4,
        size=16,
        weights=[1, 2],
        columns=["quality"],
        seed=seed,
        threads=threads,
        horizon=horizon,
        cached=cached,
    )
    for one, another in zip(take(reference, start + 2)[start:], take(other, 2, start), strict=True):
        assert_equal(one, another)


def test_an_epoch_shows_every_window_once(datasets):
    loader = Loader(datasets[:1], batch=1, window=3, cameras=[])
    windows = [tuple(batch.rows[0]) for batch in take(loader, 200)]
    epoch = len({*windows})
    assert (
        sorted(windows[:epoch]) == sorted(windows[epoch : 2 * epoch]) and windows[:epoch] != windows[epoch : 2 * epoch]
    )


def test_frames_are_cropped_and_averaged_to_a_size(datasets):
    small, full = (take(Loader(datasets, batch=2, window=2, size=size), 1)[0] for size in (8, None))
    blocks = full.frames["front"].reshape(2, 2, 8, 2, 8, 2, 3).mean(axis=(3, 5))
    np.testing.assert_allclose(small.frames["front"], blocks, atol=3)


def test_few_videos_stay_open(datasets, monkeypatch):
    opened = []

    class Counting(module.VideoReader):
        def __init__(self, path, fps, shown=()):
            super().__init__(path, fps, shown)
            opened.append(self)
            self.is_open = True

        def close(self):
            super().close()
            self.is_open = False

    monkeypatch.setattr(module, "VideoReader", Counting)
    loader = Loader(datasets, batch=4, window=2, threads=1)
    opened.clear()
    take(loader, 20)
    assert len(opened) == 4  # one of each camera of each dataset, again and again
    opened.clear()
    monkeypatch.setattr(module, "MAX_OPEN", 1)
    batches = loader.batches()
    list(islice(batches, 20))
    assert len(opened) > 4 and sum(reader.is_open for reader in opened) <= 2  # an idle one and one at work
    batches.close()
    assert not any(reader.is_open for reader in opened)


def test_mistakes_are_one_line(datasets, tmp_path):
    with pytest.raises(UserError, match="no dataset"):
        Loader([], batch=1, window=1)
    with pytest.raises(UserError, match="no camera 'wrist'; it has front, top"):
        Loader(datasets, batch=1, window=1, cameras=["wrist"])
    with pytest.raises(UserError, match="no column 'force'"):
        Loader(datasets, batch=1, window=1, columns=["force"])
    with pytest.raises(UserError, match="needs their size"):
        Loader(datasets, batch=1, window=1, cached=True)
    with pytest.raises(UserError, match="batch 0"):
        Loader(datasets, batch=0, window=1)
    with pytest.raises(UserError, match="cannot start at step -1"):
        next(Loader(datasets, batch=1, window=1).batches(-1))
    spool_episode(tmp_path / "c.partial", "0", make_episode(0, size=32), FPS)
    other = Dataset(write_dataset(tmp_path / "c.partial", tmp_path / "c", fps=FPS, robot_type=None))
    with pytest.raises(
        UserError, match=r"/c: camera 'front' has frames of \(32, 32\), .*/a it is \(16, 16\); give a size"
    ):
        Loader([*datasets, other], batch=1, window=1)
    assert take(Loader([*datasets, other], batch=9, window=1, size=16), 1)[0].frames["top"].shape == (9, 1, 16, 16, 3)


def test_a_damaged_video_is_named_and_stops_the_threads(tmp_path):
    spool_episode(tmp_path / "d.partial", "0", make_episode(0, length=40), FPS)
    dataset = Dataset(write_dataset(tmp_path / "d.partial", tmp_path / "d", fps=FPS, robot_type=None))
    path = dataset.video_places("top")[0][0]
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + 3000
    data[middle : middle + 600] = bytes(600)
    path.write_bytes(data)
    with pytest.raises(UserError, match="top/chunk-000/file-000.mp4: .*(damaged|can be read)"):
        take(Loader([dataset], batch=8, window=4), 20)
