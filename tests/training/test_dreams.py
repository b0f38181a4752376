"""Recorded episodes dreamed again line up with their rows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from presage.errors import UserError
from presage.networks.base import next_values
from presage.networks.names import ACTION, STATE
from presage.networks.world_model import WorldModel
from presage.timeline.session import Session
from presage.training.data import Rows, make_batch
from presage.training.dreams import dream_rows
from presage.training.fingerprint import Entry
from tests.tiny import tiny_model
from tests.training.test_data import numbered_rows


def small_rows(model: WorldModel, lengths: list[int]) -> Rows:
    rows = numbered_rows(lengths)
    rng = np.random.default_rng(0)
    rows.state, rows.action = rows.state / 10, rng.uniform(-1, 1, rows.action.shape).astype(np.float32)
    shape = (sum(lengths), 2, model.config.codec.tokens, model.config.codec.token_dim)
    rows.latents = rng.standard_normal(shape).astype(np.float16)
    return rows


def test_all_but_the_first_row_of_a_dreamed_episode_is_known(tmp_path: Path) -> None:
    model = tiny_model()
    every = dream_rows(model, small_rows(model, [3, 5, 2]), 1, tmp_path / "all", {}).dreams
    half = dream_rows(model, small_rows(model, [3, 5, 2]), 2, tmp_path / "half", {}).dreams
    assert every is not None and half is not None
    assert every.known.tolist() == [False, True, True, False, True, True, True, True, False, True]
    assert half.known.tolist() == [False, True, True, False, False, False, False, False, False, True]


def test_a_dream_ends_at_an_action_that_was_not_recorded(tmp_path: Path) -> None:
    rows = small_rows(tiny_model(), [5, 2])
    rows.action_valid = np.array([True, False, True, True, False, True, True])
    dreams = dream_rows(tiny_model(), rows, 1, tmp_path, {}).dreams
    assert dreams is not None and dreams.known.tolist() == [False, True, False, False, False, False, True]
    assert dreams.latents[1].any() and not dreams.latents[2:5].any()


def without_renderer() -> WorldModel:
    """Its dreams are denoised, so they depend on how well the robot is said to behave."""
    model = tiny_model()
    bare = WorldModel(replace(model.config, renderer=0), model.action_codec, model.state_codec)
    bare.network.load_state_dict(model.network.state_dict())
    return bare.eval()


@pytest.mark.parametrize("make", [tiny_model, without_renderer])
def test_a_dream_is_what_a_session_imagines_from_the_first_frame_given_chunks_and_states(
    tmp_path: Path, make: Callable[[], WorldModel]
) -> None:
    """And it assumes nothing of how well the robot behaves."""
    model = make()
    rows = small_rows(model, [5])
    dreamed = dream_rows(model, rows, 1, tmp_path, {}, seed=3)
    assert dreamed.dreams is not None
    session = Session(model, torch.from_numpy(rows.text[:1]), quality=float("nan"), seed=3)
    batch = make_batch(rows, model, np.array([[0]]), np.ones((1, 1), bool))
    session.append({name: x[:, 0] for name, x in batch.values.items() if name.startswith(("video", "state"))})
    for t in range(1, 5):
        given = {ACTION: torch.from_numpy(rows.action[t - 1]), STATE: torch.from_numpy(rows.state[t])}
        values = next_values(session, given[ACTION][None, None], given[STATE][None, None])
        assert values is not None
        block = session.append(values, imagined=True)
        seen = np.stack([block.values[f"video.{c}"][0].numpy() for c in model.config.cameras])
        np.testing.assert_allclose(dreamed.dreams.latents[t], seen, atol=2e-3)  # kept in float16


def test_a_batch_carries_the_dreams_and_a_whole_folder_is_read_again(tmp_path: Path) -> None:
    model = tiny_model()
    rows = dream_rows(model, small_rows(model, [4, 3]), 1, tmp_path, {})
    again = dream_rows(tiny_model(seed=1), small_rows(model, [4, 3]), 1, tmp_path, {})  # dreams nothing
    assert rows.dreams is not None and again.dreams is not None
    np.testing.assert_array_equal(rows.dreams.latents, again.dreams.latents)
    batch = make_batch(rows, model, np.array([[0, 1, 2, 3]]), np.ones((1, 4), bool))
    assert batch.dream_known.tolist() == [[False, True, True, True]]
    np.testing.assert_allclose(batch.dreamed["video.front"][0, 2], rows.dreams.latents[2, 0])
    assert "state" not in batch.dreamed


def test_dreams_that_were_made_from_something_else_are_refused(tmp_path: Path) -> None:
    model, made = tiny_model(), {"weights": Entry("#1", "weights of the model")}
    rows = small_rows(model, [4, 3])
    dream_rows(model, rows, 1, tmp_path, made)
    with pytest.raises(UserError, match="seed of dreams 0, now 99"):
        dream_rows(model, rows, 1, tmp_path, made, seed=99)
    with pytest.raises(UserError, match="other weights of the model"):
        dream_rows(model, rows, 1, tmp_path, {"weights": Entry("#2", "weights of the model")})
    (tmp_path / "made_from.json").unlink()
    with pytest.raises(UserError, match="older presage"):
        dream_rows(model, rows, 1, tmp_path, made)
