"""Small datasets for the tests of presage.episodes."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.episodes.samples import FPS, make_episode

from presage.episodes.dataset import Dataset
from presage.episodes.episode import Episode
from presage.episodes.spool import spool_episode
from presage.episodes.statistics import column_statistics
from presage.episodes.video import encode_clip
from presage.episodes.writer import write_dataset

CHUNKS_SIZE = 3


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """``build([episodes], name="data")`` writes a dataset and returns its root."""

    def write(episodes: list[Episode], name: str = "data") -> Path:
        spool = tmp_path / f"{name}.partial"
        for number, episode in enumerate(episodes):
            spool_episode(spool, f"{number:06d}", episode, FPS)
        return write_dataset(spool, tmp_path / name, fps=FPS, robot_type="sawyer")

    return write


@pytest.fixture
def root(build: Callable[..., Path]) -> Path:
    """A dataset of four episodes; the third recorded no actions."""
    return build([make_episode(seed, length=4 + seed, actions=seed != 2) for seed in range(4)])


def write_lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def old_root(root: Path, tmp_path: Path) -> Path:
    """The dataset of ``root`` in the layout of v2.1: one parquet and one mp4 per episode, JSON lines in meta."""
    new, old = Dataset(root), tmp_path / "old"
    (old / "meta").mkdir(parents=True)
    data = pq.ParquetFile(root / "data/chunk-000/file-000.parquet")
    stats = []
    for record in new.episodes:
        chunk = f"chunk-{record.index // CHUNKS_SIZE:03d}"
        name = f"episode_{record.index:06d}"
        (old / "data" / chunk).mkdir(parents=True, exist_ok=True)
        pq.write_table(data.read_row_group(record.index), old / "data" / chunk / f"{name}.parquet")
        for camera in new.cameras:
            folder = old / "videos" / chunk / f"observation.images.{camera}"
            folder.mkdir(parents=True, exist_ok=True)
            encode_clip(folder / f"{name}.mp4", make_episode(record.index, record.length).frames[camera], FPS)
        state = column_statistics(new.column("observation.state")[record.rows])
        kept = {figure: state[figure].tolist() for figure in ("min", "max", "mean", "std", "count")}
        stats.append({"episode_index": record.index, "stats": {"observation.state": kept}})
    info = json.loads((root / "meta/info.json").read_text()) | {
        "codebase_version": "v2.1",
        "chunks_size": CHUNKS_SIZE,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    (old / "meta/info.json").write_text(json.dumps(info))
    write_lines(old / "meta/tasks.jsonl", [{"task_index": i, "task": task} for i, task in enumerate(new.tasks)])
    write_lines(old / "meta/episodes_stats.jsonl", stats)
    episodes = [
        {"episode_index": e.index, "tasks": [e.instruction], "length": e.length, "seed": 7} for e in new.episodes
    ]
    write_lines(old / "meta/episodes.jsonl", episodes)
    return old
