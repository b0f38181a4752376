"""Scenes and moments of the real simulator, recorded once for all tests here."""

from pathlib import Path

import pytest

from presage.simulator.frames.placed import CAMERAS, SIZE, Placed, join, moments
from presage.simulator.frames.readers import Reader, load_reader
from presage.simulator.frames.scenes import Scenes, scenes
from presage.worlds import MT10
from presage.worlds.collect import renderer_of, simulation_of
from presage.worlds.world import find_world


@pytest.fixture(scope="session")
def reader() -> Reader:
    return load_reader()


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scenes]:
    """Two short scenes of some kinds, or one with branches, on tuning seeds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        kinds = {"expert": 8, "wander": 8, "knock": 8, "branch": 8, "removed": 2}
        return {k: scenes(k, 2 - (k == "branch"), tuning=True, steps=n, workers=0) for k, n in kinds.items()}


@pytest.fixture(scope="session")
def pushed() -> Placed:
    """Moments of a puck on seeds that no reader was trained on."""
    task = "push-v3"
    renderer = renderer_of(find_world(task), CAMERAS, SIZE, 2)
    return join([moments(simulation_of(task), renderer, MT10.index(task), seed) for seed in range(4)])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path
