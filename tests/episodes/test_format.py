"""What is written is LeRobotDataset v3.0, and reads back as it was."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.episodes.samples import FPS, make_episode

from presage.episodes import layout
from presage.episodes.dataset import Dataset
from presage.episodes.episode import Episode
from presage.episodes.spool import spool_episode
from presage.episodes.statistics import QUANTILES
from presage.episodes.video import decode_spans
from presage.episodes.writer import write_dataset
from presage.errors import UserError


@st.composite
def column_specs(draw):
    """Feature names with a type and a shape per row."""
    names = draw(
        st.lists(st.sampled_from(["action", "observation.state", "a_b", "next.reward"]), unique=True, min_size=1)
    )
    kinds = st.sampled_from(["float32", "float64", "int64", "int32", "uint8", "bool", "text"])
    shapes = st.one_of(st.just(()), hnp.array_shapes(min_dims=1, max_dims=3, max_side=4).filter(lambda s: s != (1,)))
    return {name: (kind, () if kind == "text" else draw(shapes)) for name in names for kind in [draw(kinds)]}


def draw_column(draw, kind: str, rows: int, shape: tuple[int, ...]) -> np.ndarray:
    if kind == "text":
        words = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
        return np.array(draw(st.lists(words, min_size=rows, max_size=rows)), dtype=str)
    elements = {"min_value": -(2**20), "max_value": 2**20} if kind.startswith("float") else None
    return draw(hnp.arrays(kind, (rows, *shape), elements=elements))


@given(data=st.data(), specs=column_specs(), lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_columns_come_back_as_they_were(data, specs, lengths, tmp_path_factory):
    folder = tmp_path_factory.mktemp("format")
    expected: dict[str, list[np.ndarray | None]] = {name: [] for name in specs}
    for number, length in enumerate(lengths):
        columns = {}
        for name, (kind, shape) in specs.items():
            column = draw_column(data.draw, kind, length, shape) if data.draw(st.booleans()) else None
            expected[name].append(column)
            if column is not None:
                columns[name] = column
        columns["next.done"] = np.arange(length) == length - 1
        spool_episode(folder / "spool", f"{number}", Episode({}, columns, f"task {number % 2}"), FPS)
    dataset = Dataset(write_dataset(folder / "spool", folder / "data", fps=FPS, robot_type=None))
    assert [episode.length for episode in dataset.episodes] == lengths
    assert [episode.instruction for episode in dataset.episodes] == [f"task {i % 2}" for i in range(len(lengths))]
    assert dataset.cameras == []
    for name, (kind, shape) in specs.items():
        if all(column is None for column in expected[name]):
            assert name not in dataset.features
            continue
        values, recorded = dataset.column(name), dataset.recorded(name)
        assert values.shape == (sum(lengths), *shape)
        assert kind == "text" or values.dtype == kind
        for episode, column in zip(dataset.episodes, expected[name]):
            assert (recorded[episode.rows] == (column is not None)).all()
            if column is not None:
                np.testing.assert_array_equal(values[episode.rows], column)
            elif kind.startswith("float"):
                assert np.isnan(values[episode.rows]).all()


def test_dataset_reads_back(root):
    dataset = Dataset(root)
    originals = [make_episode(seed, length=4 + seed, actions=seed != 2) for seed in range(4)]
    assert dataset.fps == FPS and dataset.robot_type == "sawyer" and dataset.version == "v3.0"
    assert dataset.cameras == ["front", "top"]
    assert dataset.num_rows == 4 + 5 + 6 + 7
    assert dataset.lengths.tolist() == [4, 5, 6, 7]
    for record, original in zip(dataset.episodes, originals):
        assert record.info == pytest.approx(original.info)
        assert {name: type(value) for name, value in record.info.items()} == {
            name: type(value) for name, value in original.info.items()
        }
        assert dataset.tasks[dataset.column("task_index")[record.start]] == original.instruction
        for camera, frames in original.frames.items():
            difference = dataset.frames(record.index, camera).astype(float) - frames
            assert np.sqrt(np.mean(difference**2)) < 4
    action = dataset.column("action")
    assert np.isnan(action[dataset.episodes[2].rows]).all()
    assert dataset.recorded("action").sum() == 4 + 5 + 7
    assert not dataset.column("action.valid")[dataset.episodes[2].rows].any()
    np.testing.assert_allclose(dataset.column("timestamp")[4:9], np.arange(5) / FPS)
    assert dataset.column("index").tolist() == list(range(22))


def test_info_json_has_the_fields_of_the_format(root):
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (4, 22, 2)
    assert info["fps"] == 5 and isinstance(info["fps"], int)
    assert info["splits"] == {"train": "0:4"}
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    assert info["video_path"] == "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    camera = info["features"]["observation.images.front"]
    assert camera["dtype"] == "video" and camera["shape"] == [16, 16, 3]
    assert camera["names"] == ["height", "width", "channels"]
    assert camera["info"]["video.codec"] == "h264" and camera["info"]["video.pix_fmt"] == "yuv444p"
    assert info["features"]["next.success"] == {"dtype": "bool", "shape": [1], "names": None}
    assert info["features"]["action"]["shape"] == [16]
    for name in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
        assert info["features"][name]["shape"] == [1]


def test_task_text_is_the_pandas_index(root):
    """pandas restores the index from this metadata; a plain column would give LeRobot the wrong task silently."""
    table = pq.read_table(root / "meta/tasks.parquet")
    assert table.schema.pandas_metadata["index_columns"] == ["task"]
    assert table.to_pydict() == {"task_index": [0, 1], "task": ["open the drawer", "push the puck"]}


def test_one_row_group_per_episode(root):
    data = pq.ParquetFile(root / "data/chunk-000/file-000.parquet")
    assert [data.metadata.row_group(i).num_rows for i in range(data.num_row_groups)] == [4, 5, 6, 7]


def test_files_roll_over_and_cameras_count_apart(build, monkeypatch):
    monkeypatch.setattr(layout, "DATA_FILE_MB", 2000 / layout.MEGABYTE)
    monkeypatch.setattr(layout, "VIDEO_FILE_MB", 9000 / layout.MEGABYTE)
    episodes = []
    for seed in range(6):
        episode = make_episode(seed, length=8)
        noise = np.random.default_rng(seed).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
        episodes.append(Episode(episode.frames | {"top": noise}, episode.columns, episode.instruction, episode.info))
    root = build(episodes)
    dataset = Dataset(root)
    files = {
        camera: [Path(e.videos[f"observation.images.{camera}"][0]).stem for e in dataset.episodes]
        for camera in dataset.cameras
    }
    assert len(set(files["top"])) == 6 and len(set(files["front"])) < 6
    assert len({episode.data_file for episode in dataset.episodes}) > 1
    for number, episode in enumerate(episodes):
        np.testing.assert_array_equal(
            dataset.column("observation.state")[dataset.episodes[number].rows], episode.columns["observation.state"]
        )
        path, start = dataset.episodes[number].videos["observation.images.front"]
        expected = next(decode_spans(root / path, [(start, 8)], FPS))
        np.testing.assert_array_equal(dataset.frames(number, "front"), expected)


def test_next_file_goes_to_the_next_chunk():
    assert layout.next_file(0, 0, 2) == (0, 1)
    assert layout.next_file(0, 1, 2) == (1, 0)


def test_statistics_are_exact(root):
    dataset = Dataset(root)
    counted = dataset.recorded("action") & dataset.column("action.valid")
    action = dataset.column("action")[counted].astype(np.float64)
    stats = dataset.stats["action"]
    assert stats["count"].tolist() == [len(action)]
    np.testing.assert_allclose(stats["mean"], action.mean(axis=0))
    np.testing.assert_allclose(stats["std"], action.std(axis=0))
    np.testing.assert_allclose(stats["min"], action.min(axis=0))
    np.testing.assert_allclose(stats["max"], action.max(axis=0))
    for name, share in QUANTILES.items():
        np.testing.assert_allclose(stats[name], np.quantile(action, share, axis=0))
    assert dataset.stats["next.success"]["mean"].shape == (1,)


def test_image_statistics_follow_the_recorded_frames(root):
    originals = [make_episode(seed, length=4 + seed) for seed in range(4)]
    pixels = np.concatenate([e.frames["front"][:, ::2, ::2].reshape(-1, 3) for e in originals]) / 255
    stats = Dataset(root).stats["observation.images.front"]
    assert stats["mean"].shape == (3, 1, 1) and stats["count"].tolist() == [22]
    np.testing.assert_allclose(stats["mean"].ravel(), pixels.mean(axis=0))
    np.testing.assert_allclose(stats["std"].ravel(), pixels.std(axis=0))
    np.testing.assert_allclose(stats["min"].ravel(), pixels.min(axis=0))
    np.testing.assert_allclose(stats["max"].ravel(), pixels.max(axis=0))
    for name, share in QUANTILES.items():
        np.testing.assert_allclose(stats[name].ravel(), np.quantile(pixels, share, axis=0, method="lower"))


def test_episode_statistics_lie_in_the_episodes_table(root):
    table = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet")
    for figure in ("min", "max", "mean", "std", "count", *QUANTILES):
        assert f"stats/action/{figure}" in table.column_names
    assert table["stats/action/count"].to_pylist() == [[3], [4], None, [6]]
    state = make_episode(1, length=5).columns["observation.state"]
    np.testing.assert_allclose(table["stats/observation.state/mean"][1].as_py(), state.mean(axis=0), rtol=1e-6)


def test_episodes_that_do_not_fit_together_are_refused(build, tmp_path):
    wrong = make_episode(1)
    wrong.columns["action"] = wrong.columns["action"][:, :3]
    with pytest.raises(UserError, match=r"000001: column 'action' is float32 \[3\], in other episodes float32 \[16\]"):
        build([make_episode(0), wrong])
    with pytest.raises(UserError, match="cameras .* differ"):
        build([make_episode(0), make_episode(1, size=32)], "sizes")
    with pytest.raises(UserError, match="'info/seed' is int and str in different episodes"):
        build([make_episode(0), Episode(wrong.frames, {}, "", {"seed": "one"})], "facts")
    assert not (tmp_path / "data").exists() and (tmp_path / "data.partial").exists()


def test_existing_dataset_is_not_overwritten(root, build):
    with pytest.raises(UserError, match="exists already"):
        build([make_episode(0)])
    assert len(Dataset(root).episodes) == 4


def test_empty_spool_is_refused(tmp_path):
    with pytest.raises(UserError, match="no finished episodes"):
        write_dataset(tmp_path / "spool", tmp_path / "data", fps=FPS, robot_type=None)
