"""The damage bench notices what it counts."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from presage.benchmarks import damage
from presage.benchmarks.common import BenchArgs
from presage.benchmarks.damages import LENGTHS, whole_datasets
from presage.episodes.dataset import Dataset
from presage.interface.cli import main


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Path]:
    return whole_datasets(tmp_path_factory.mktemp("whole"))


def test_the_whole_datasets_are_the_same_episodes_in_three_formats(sources: list[Path]) -> None:
    videos, images, old = map(Dataset, sources)
    assert [d.version for d in (videos, old)] == ["v3.0", "v2.1"]
    for other in (images, old):
        assert other.lengths.tolist() == list(LENGTHS)
        assert np.array_equal(other.column("action"), videos.column("action"))
        assert np.abs(other.frames(2, "wrist").astype(int) - videos.frames(2, "wrist")).max() <= 12
    assert np.array_equal(images.frames(1, "front"), videos.frames(1, "front"))


def test_damages_repeat_and_differ_by_seed(sources: list[Path], tmp_path: Path) -> None:
    done = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        shutil.copytree(sources[0], tmp_path / name)
        done.append(damage.damage(tmp_path / name, np.random.default_rng(seed)))
    assert done[0] == done[1] != done[2]


def test_a_trial_tells_accepted_from_refused(sources: list[Path], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(damage, "damage", lambda root, rng: ["nothing"])
    outcome = damage.attempt(main, sources, tmp_path / "whole", (0, 0))
    assert outcome.codes == {"inspect": 0, "train": 0, "filter": 0} and outcome.faults == []
    monkeypatch.setattr(damage, "damage", lambda root, rng: [(root / "meta/info.json").unlink()])
    outcome = damage.attempt(main, sources, tmp_path / "cut", (0, 0))
    assert outcome.codes == {"inspect": 2, "train": 2, "filter": 2} and outcome.faults == []


def test_a_traceback_and_a_silent_difference_are_counted(sources: list[Path], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("presage.interface.cli.parse", lambda arguments: 1 / 0)
    assert damage._command(main, ("inspect", "x")) == (1, "traceback: ZeroDivisionError: division by zero")

    reading = Dataset.column
    monkeypatch.setattr(damage, "_described", lambda found: "the same")
    monkeypatch.setattr(Dataset, "column", lambda self, name: reading(self, name) + (self.root != sources[0]))
    copy = Path(shutil.copytree(sources[0], tmp_path / "copy"))
    assert damage._trained_on_other_data(sources[0], copy, 0) == [
        "silent: column action",
        "silent: column observation.state",
    ]
    assert damage._trained_on_other_data(sources[0], copy, 2) == ["silent: train took what inspect refuses"]


def test_a_process_that_dies_or_hangs_is_replaced(sources: list[Path], tmp_path: Path, monkeypatch) -> None:
    worker = damage._Worker(main, sources, tmp_path, 0)
    try:
        worker.start(0)
        worker.process.kill()
        assert worker.answer(20.0) == "crash"
        monkeypatch.setattr(damage, "PATIENCE_S", 0.0)
        worker.start(1)
        assert worker.answer(0.0) == "hang"
        assert worker.process.is_alive()
    finally:
        worker.close()


def test_damaged_datasets_are_read_or_refused(tmp_path: Path) -> None:
    figures = damage.run(BenchArgs(tmp_path, 1, None, torch.device("cpu"), quick=True, main=main))
    assert figures["datasets"] == damage.QUICK_TRIALS and 0 < figures["accepted_train"] < damage.QUICK_TRIALS
    faults = ("traceback", "hang", "crash", "not_one_line", "silent", "filter_changed")
    assert {name: figures[name] for name in faults} == dict.fromkeys(faults, 0)
