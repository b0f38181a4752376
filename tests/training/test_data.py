"""The training data's time offsets: the bug class that costs most is off by one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from presage.codecs.scalars import FARTHEST, ScalarCodec
from presage.episodes.dataset import Dataset
from presage.episodes.mixture import Mixture
from presage.episodes.windows import Windows
from presage.errors import UserError
from presage.networks.world_model import WorldModel
from presage.training.data import (
    Rows,
    _fill,
    check_fits,
    load_rows,
    make_batch,
    mixed_batch,
    taught,
    value_from_success,
)
from tests.episodes.robots import write_numbers
from tests.tiny import tiny_model


def numbered_rows(lengths: list[int]) -> Rows:
    """Rows whose state is their global index, and whose last row of each episode executed nothing."""
    n, lengths_ = sum(lengths), np.array(lengths)
    start = np.concatenate([[0], np.cumsum(lengths_)[:-1]])
    valid = np.ones(n, bool)
    valid[start + lengths_ - 1] = False
    index = np.arange(n, dtype=np.float32)
    return Rows(
        latents=np.zeros((n, 2, 4, 16), np.float16) + index[:, None, None, None].astype(np.float16),
        state=np.repeat(index[:, None], 4, 1),
        action=np.repeat(index[:, None], 16, 1) + 0.5,
        action_valid=valid,
        quality=np.ones(n, np.float32),
        value=index,
        value_valid=np.ones(n, bool),
        instruction=np.repeat(np.arange(len(lengths)), lengths),
        start=start,
        length=lengths_,
        text=np.zeros((len(lengths), 256), np.float32),
    )


def test_value_counts_model_steps_until_the_frame_that_shows_success() -> None:
    # next.success is True at row 2: the chunk after frame 2 succeeded, so frame 3 is the first that shows it.
    success = np.array([False, False, True, True, False, False])
    value = value_from_success(success, np.array([0, 4]), np.array([4, 2]), discount=0.5)
    np.testing.assert_allclose(value, [0.125, 0.25, 0.5, 1.0, 0.0, 0.0])


def test_windows_of_several_datasets_become_one_batch_with_padding_masked() -> None:
    parts = [numbered_rows([2, 9]), numbered_rows([7])]
    mixture = Mixture([Windows(p.length, 4) for p in parts], [1.0, 1.0])
    batch = mixed_batch(parts, tiny_model(), *mixture.sample(64))
    state = batch.values["state"][:, :, 0, 0]
    steps = state[:, 1:] - state[:, :-1]
    assert len(state) == 64 and (steps[batch.exists[:, 1:]] == 1).all()
    assert (steps[~batch.exists[:, 1:]] == 0).all() and not batch.exists.all()
    assert not (batch.present["action"] & ~batch.exists).any()


def test_the_action_of_a_row_is_the_chunk_after_its_frame_and_the_last_row_has_none() -> None:
    rows = numbered_rows([5])
    batch = make_batch(rows, tiny_model(), np.array([[1, 2, 3, 4]]), np.ones((1, 4), bool))
    torch.testing.assert_close(batch.values["action"][0, :, 0, 0], batch.values["state"][0, :, 0, 0] + 0.5)
    assert batch.present["action"].tolist() == [[True, True, True, False]]


def test_what_lies_far_beyond_the_scale_is_trained_at_its_edge_and_said(capsys) -> None:
    codec, values = ScalarCodec([0.0, 0.0], [1.0, 1.0]), np.random.default_rng(0).normal(size=(500, 2))
    values[7, 1] = -1e6
    codes = taught(codec, values, np.ones(500, bool), "arm: 'action'")
    assert codes[7, 1] == -FARTHEST and np.abs(codes).max() == FARTHEST
    np.testing.assert_allclose(np.delete(codes, 7, 0), np.delete(values, 7, 0), rtol=1e-5)
    assert capsys.readouterr().out.startswith("arm: 'action': number 1 reaches 1e+06 in 1 of 500 rows")
    some = values[:300].copy()
    some[:3, 0] = 1e6
    assert np.abs(taught(codec, some, np.ones(300, bool), "arm")).max() == FARTHEST
    some[3, 0] = 1e6  # one in a hundred may be a recording error, and no more
    with pytest.raises(UserError, match="in 4 of 300 rows"):
        taught(codec, some, np.ones(300, bool), "arm")
    with pytest.raises(UserError, match="arm: 'action': number 0 reaches .* are its units others?"):
        taught(codec, 57.3 * values, np.ones(500, bool), "arm: 'action'")
    assert np.isnan(taught(codec, np.full((3, 2), np.nan), np.ones(3, bool), "arm")).all()


def test_a_dataset_is_refused_by_the_size_of_its_chunks_and_may_have_no_state(tmp_path: Path) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        return {"action": np.full((3, 16), 0.5, np.float32), "action.valid": np.array([True, True, False])}

    data = Dataset(write_numbers(tmp_path / "arm", columns))
    with pytest.raises(UserError, match="'action' has 16 numbers, the model takes chunks of 20"):
        check_fits(data, ["front"], 20)
    with pytest.raises(UserError, match="no camera 'top'"):
        check_fits(data, ["front", "top"], 16)
    config = replace(tiny_model().config, cameras=["front"], state_dim=0, state_dynamics=0, renderer=0)
    model = WorldModel(config, ScalarCodec([0.0] * 16, [1.0] * 16), ScalarCodec([], [])).eval()
    rows = load_rows(data, model)
    assert rows.state.shape == (6, 0) and rows.action_valid.tolist() == [True, True, False] * 2
    assert rows.action[:, 0].tolist() == [0.5, 0.5, 0, 0.5, 0.5, 0] and np.isnan(rows.quality).all()
    batch = make_batch(rows, model, np.array([[0, 1, 2]]), np.ones((1, 3), bool))
    assert set(batch.values) == {"video.front", "action", "value"}


def test_a_value_is_known_of_the_episodes_whose_outcome_and_its_row_are_known(tmp_path: Path) -> None:
    told = [{"success": True}, {"success": False}, {"success": True}, {}]  # of the third no row says when

    def columns(episode: int) -> dict[str, np.ndarray]:
        hits = np.array([False, episode == 0, episode == 0])
        return {"action": np.zeros((3, 16), np.float32), "action.valid": np.ones(3, bool), "next.success": hits}

    data = Dataset(write_numbers(tmp_path / "arm", columns, episodes=4, facts=lambda episode: told[episode]))
    config = replace(tiny_model().config, cameras=["front"], state_dim=0, state_dynamics=0, renderer=0)
    model = WorldModel(config, ScalarCodec([0.0] * 16, [1.0] * 16), ScalarCodec([], [])).eval()
    rows = load_rows(data, model)
    assert rows.value_valid.reshape(4, 3).all(1).tolist() == [True, True, False, True]
    batch = make_batch(rows, model, np.array([[1, 2], [7, 8]]), np.ones((2, 2), bool))
    assert batch.present["value"].tolist() == [[True, True], [False, False]]


def test_numbers_that_a_robot_has_not_are_0() -> None:
    assert _fill(np.array([[1.0, np.nan]], np.float32)).tolist() == [[1, 0]]
