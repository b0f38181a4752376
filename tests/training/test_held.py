"""Rows that are held as tensors give the batches that the recording gives."""

from dataclasses import replace

import numpy as np
import torch

from presage.codecs.scalars import FARTHEST
from presage.systems.reference import reference
from presage.systems.system import DEBUG
from presage.training.held import fits, held, pick
from presage.training.recorded import emphasised, joined, shape_of
from tests.recorded import batch_of, moving_square

RECORDED = moving_square(episodes=3, rows=6, cameras=("image.front", "image.top"))
SHAPE = shape_of(RECORDED)
MODEL = reference(SHAPE, DEBUG).build(SHAPE)


def test_pictures_on_a_cpu_are_the_recorded_ones_and_not_a_copy() -> None:
    rows = held(MODEL, RECORDED)
    assert rows.seen["image.front"] is RECORDED.frames["image.front"]
    assert rows.rows("image.front", torch.tensor([4, 2])).dtype == torch.uint8
    assert not fits(torch.device("cpu"), 0)


def test_a_batch_holds_what_was_recorded_at_its_rows() -> None:
    others = replace(moving_square(2, 6, seed=1, cameras=tuple(RECORDED.frames)), quality=np.zeros(12, np.float32))
    parts = [held(MODEL, emphasised(part, 5.0)) for part in (RECORDED, others)]
    index = np.array([[0, 1], [7, 8], [10, 11]])
    batch = pick(MODEL, parts, (np.array([0, 0, 1]), index, np.array([[False, True], [False, False], [False, False]])))
    every = joined([RECORDED, others])
    rows = index + np.array([[0], [0], [18]])
    for source in RECORDED.frames:
        shown = MODEL.codec(source).decode(batch.values[source].flatten(0, 1))
        assert np.array_equal(shown.numpy(), every.frames[source][rows.ravel()])
    done = MODEL.decode_action(batch.values["action"].flatten(0, 1))
    np.testing.assert_allclose(done, every.action[rows.ravel()], atol=1e-6)
    felt = MODEL.decode_state(batch.values["state"].flatten(0, 1))
    np.testing.assert_allclose(felt, every.state[rows.ravel()], atol=1e-5)
    assert batch.exists.tolist() == [[True, False], [True, True], [True, True]]
    assert batch.present["action"].tolist() == batch.exists.tolist()  # all of them are labelled
    assert batch.quality is not None and batch.quality.tolist() == every.quality[rows].tolist()
    np.testing.assert_allclose(batch.text, every.text[every.instruction[rows[:, 0]]])
    assert set(batch.emphasis) == {"image.front", "image.top"} and not batch.pictures


def test_no_code_is_further_out_than_a_model_is_taught() -> None:
    action, state = RECORDED.action.copy(), RECORDED.state.copy()
    action[4], state[4] = 1e6, -1e6
    codes = held(MODEL, replace(RECORDED, action=action, state=state)).codes
    assert codes["action"].max() == FARTHEST and codes["state"].min() == -FARTHEST


def test_latents_stand_for_the_pictures_that_they_were_made_of() -> None:
    latents = np.arange(18 * 64 * 12, dtype=np.float16).reshape(18, 256, -1)[:, :, :3].repeat(1, 1)
    told = replace(RECORDED, latents={"image.front": latents})
    batch = batch_of(MODEL, [told], (np.zeros(1, int), np.array([[3, 4]]), np.zeros((1, 2), bool)))
    assert torch.equal(batch.values["image.front"][0], torch.from_numpy(latents[3:5]).float())
    shown = MODEL.codec("image.top").decode(batch.values["image.top"][0])
    assert np.array_equal(shown.numpy(), RECORDED.frames["image.top"][3:5])
