"""Small datasets for the tests of presage.episodes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.episodes.samples import FPS, make_episode

from presage.episodes.episode import Episode
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset


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
