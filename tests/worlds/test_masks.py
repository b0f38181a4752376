"""Masks of recorded frames: the episode is simulated again, and must be the one that was recorded."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.worlds.collect import collect
from presage.worlds.masks import can_replay, object_masks, unpack
from presage.worlds.metaworld import Renderer, Simulation


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("masks") / "data"
    collect(root, ["reach-v3", "drawer-close-v3"], 1, seed=3, cameras=("front", "top"), size=32, workers=1)
    return root


def test_they_are_what_the_simulator_says_of_every_row(recorded: Path) -> None:
    dataset = Dataset(recorded)
    masks = unpack(object_masks(dataset, ["top"], 32, workers=1))
    episode = dataset.episodes[1]
    simulation, renderer = Simulation(str(episode.info["task"])), Renderer(("top",), 32, 2)
    simulation.reset(int(episode.info["seed"]))
    for row in range(episode.start, episode.start + 3):
        assert np.array_equal(masks[row, 0], simulation.masks(renderer)["top"])
        for action in dataset.column("action")[row].reshape(4, 4):
            simulation.step(action)
    assert masks.shape == (dataset.num_rows, 1, 32, 32) and 0 < masks.mean() < 0.2


def test_an_episode_that_runs_otherwise_is_refused(recorded: Path) -> None:
    for path in (recorded / "data").rglob("*.parquet"):
        table = pq.read_table(path)
        place, kind = table.schema.get_field_index("action"), table.schema.field("action")
        halved = pa.array([[x / 2 for x in row] for row in table["action"].to_pylist()], kind.type)
        pq.write_table(table.set_column(place, kind, halved), path)
    with pytest.raises(UserError, match="row 1 cannot be simulated again as it was recorded"):
        object_masks(Dataset(recorded), ["top"], 32, workers=1)


def test_what_names_no_seed_cannot_be_simulated_again(recorded: Path) -> None:
    dataset = Dataset(recorded)
    assert can_replay(dataset)
    del dataset.episodes[0].info["seed"]
    assert not can_replay(dataset)
    with pytest.raises(UserError, match="does not say from which task and seed"):
        object_masks(dataset, ["top"], 32)


@pytest.mark.parametrize("behaviour", ["play", "branch"])
def test_what_was_played_cannot_be_simulated_again(behaviour: str, recorded: Path) -> None:
    """Its scene was made otherwise than by a reset to its seed."""
    dataset = Dataset(recorded)
    dataset.episodes[1].info["behaviour"] = behaviour
    for ask in (can_replay, lambda data: object_masks(data, ["top"], 32)):
        with pytest.raises(UserError, match="episode 1 was played .* leave out what --play recorded"):
            ask(dataset)
