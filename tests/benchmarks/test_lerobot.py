"""The benches that compare with lerobot, as far as they go without it."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from presage.benchmarks import interop, lerobot_env, loading
from presage.benchmarks.common import BenchArgs
from presage.episodes.dataset import Dataset
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset
from presage.errors import UserError
from presage.systems.shipped import PARTS

QUICK = BenchArgs(PARTS, 0, 1, torch.device("cpu"), quick=True)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv(lerobot_env.VARIABLE, raising=False)


def test_loading_bench_without_lerobot(monkeypatch, capsys):
    monkeypatch.setattr(loading, "MT10", ["reach-v3"])
    monkeypatch.setattr(loading, "ROUNDS", 1)
    figures = loading.run(QUICK)
    assert figures["ratio"] is None and figures["paid_after"] is None
    assert "lerobot is not measured" in capsys.readouterr().err
    assert figures["samples_per_s_training/64"] > 0 and figures["decoding_s/64"] > 0


def test_loading_bench_beside_lerobot(monkeypatch):
    monkeypatch.setattr(loading, "MT10", ["reach-v3"])
    monkeypatch.setattr(loading, "ROUNDS", 1)
    monkeypatch.setattr(loading, "environments", lambda: [Path("one"), Path("other")])
    answers = {
        "one": {"lerobot": "1.0", "rates": {"pyav": 2.0}, "failed": {"torchcodec": "no FFmpeg"}},
        "other": {"lerobot": "2.0", "rates": {"pyav": 1.0, "torchcodec": 4.0}, "failed": {}},
    }
    monkeypatch.setattr(loading, "ask", lambda python, *_: answers[str(python)])
    figures = loading.run(QUICK)
    ours, seconds = figures["samples_per_s_training/64"], figures["decoding_s/64"]
    assert figures["ratio"] == ours / 4 and figures["samples_per_s_lerobot_1.0_pyav/64"] == 2
    assert figures["paid_after"] / 4 == pytest.approx(seconds + figures["paid_after"] / ours)
    assert "no FFmpeg" in figures["lerobot_1.0_failed/64"] and "lerobot_2.0_failed/64" not in figures


@pytest.fixture
def recorded(tmp_path) -> Dataset:
    episode = interop.make_episodes(1, seed=0)[0]
    spool_episode(tmp_path / "d.partial", "0", episode, interop.FPS)
    return Dataset(write_dataset(tmp_path / "d.partial", tmp_path / "d", fps=interop.FPS, robot_type=None))


def test_videos_are_encoded_as_lerobot_does(recorded):
    before = recorded.frames(0, "front").astype(int)
    path = next(recorded.root.rglob("*front*/**/*.mp4"))
    loading.encode_as_lerobot(path)
    after = recorded.frames(0, "front")
    nearest = [int(np.abs(before - frame).mean(axis=(1, 2, 3)).argmin()) for frame in after]
    # The same frames in the same order; that codec skips a motion of one pixel in every second of them.
    assert nearest[::2] == pytest.approx(range(0, len(before), 2), abs=1) and nearest == sorted(nearest)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "libdav1d"
        assert [entry.is_keyframe for entry in stream.index_entries][:4] == [True, False, True, False]


def test_interop_bench_without_lerobot():
    assert set(interop.run(QUICK).values()) == {None}


def test_every_differing_value_counts():
    ours = {"a": np.array([1.0, np.nan, 0.0], np.float32), "b": np.array([True, False])}
    equal = {"a": np.array([1.0, np.nan, 0.0], np.float32), "b": np.array([[True], [False]])}
    assert interop._differing(ours, equal) == 0
    other = {"a": np.array([1.0, np.nan, -0.0], np.float32), "b": np.array([True, True])}
    assert interop._differing(ours, other) == 2


def test_a_missing_environment_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv(lerobot_env.VARIABLE, str(tmp_path / "python"))
    with pytest.raises(UserError, match="PRESAGE_LEROBOT: .*/python does not exist; build it"):
        lerobot_env.environments()
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'No module named lerobot' >&2\nexit 1\n")
    broken.chmod(0o755)
    assert lerobot_env.environments() == [broken]
    with pytest.raises(UserError, match="lerobot could not version .No module named lerobot."):
        lerobot_env.ask(broken, "version")
