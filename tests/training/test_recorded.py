"""Recordings in memory: chosen, joined, their labels withheld."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from presage.episodes.dataset import Dataset
from presage.systems.system import DEBUG
from presage.systems.uwm import uwm
from presage.training.pictures import Pictures
from presage.training.recorded import (
    COLOURS,
    by_token,
    colours,
    done_well,
    emphasised,
    joined,
    read_recorded,
    shape_of,
)
from tests.episodes.robots import write_numbers
from tests.recorded import batch_of, moving_square
from tests.training.test_stage import small_model


def test_what_is_joined_keeps_its_episodes_and_words() -> None:
    first, second = moving_square(episodes=2, rows=4, seed=0), moving_square(episodes=3, rows=6, seed=1)
    third = moving_square(episodes=1, rows=4, seed=2)
    every = joined([first, second, third])
    assert every.length.tolist() == [4, 4, 6, 6, 6, 4] and every.task == ["move"] * 6
    assert np.array_equal(
        every.text[every.instruction[[0, 8, 26]]], np.concatenate([p.text for p in (first, second, third)])
    )
    again = every.only([2, 3, 4])
    for name in ("action", "state", "quality", "labelled"):
        assert np.array_equal(getattr(again, name), getattr(second, name))
    assert np.array_equal(again.frames["image.front"], second.frames["image.front"])
    assert np.array_equal(again.text[again.instruction], second.text[second.instruction])


def test_what_is_joined_and_chosen_holds_the_pictures_themselves_and_no_copy() -> None:
    parts = [moving_square(episodes=2, rows=4, seed=seed) for seed in (0, 1)]
    chosen = joined(parts).only([3, 0]).stretched(2).shuffled()
    kept = chosen.frames["image.front"]
    assert isinstance(kept, Pictures) and len(kept) == 12
    assert all(one is part.frames["image.front"] for one, part in zip(kept.parts, parts, strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"text": np.ones((1, 256), np.float32)},
        {"to_success": np.zeros(8)},
        {"to_success": None},
        {"latents": {"image.front": np.zeros((8, 4, 2), np.float16)}},
        {"frames": {"image.front": np.zeros((8, 16, 16, 3), np.uint8)}},
        {"quality": np.zeros(8, np.float32)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_fingerprint_is_of_all_that_is_learned(changes: dict[str, Any]) -> None:
    recorded = moving_square(episodes=2, rows=4)
    assert recorded.fingerprint == moving_square(episodes=2, rows=4).fingerprint
    assert replace(recorded, **changes).fingerprint != recorded.fingerprint


def test_video_without_labels_says_so_in_its_batches() -> None:
    recorded = moving_square(episodes=2, rows=4).without_labels([1])
    model = uwm(shape_of(recorded), DEBUG).build(shape_of(recorded))
    rows = np.array([[0, 1], [4, 5]])
    batch = batch_of(model, [recorded], (np.zeros(2, int), rows, np.zeros((2, 2), bool)))
    assert batch.present["action"].tolist() == [[True, True], [False, False]]
    assert batch.quality.isnan().tolist() == batch.to_success.isnan().tolist() == [[False, False], [True, True]]
    assert set(batch.values) == {"action", "image.front"} and not batch.pictures

    batch = batch_of(model, [recorded], (np.zeros(2, int), rows, np.zeros((2, 2), bool)), pictures=True)
    assert torch.equal(batch.pictures["image.front"], torch.from_numpy(recorded.frames["image.front"][rows]))
    assert "image.front" not in batch.values


def test_a_dataset_is_read_with_its_chunks_and_what_was_not_executed_is_no_label(tmp_path: Path) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        action = np.arange(12, dtype=np.float32).reshape(3, 4) + 100 * episode
        executed, state = np.array([True, True, False]), np.full((3, 2), episode, np.float32)
        return {"action": action, "action.valid": executed, "observation.state": state}

    data = write_numbers(tmp_path / "arm", columns, facts=lambda episode: {"success": episode == 1})
    read = read_recorded(Dataset(data), ["front"], size=16, chunk=2)
    assert read.action.shape == (6, 2, 2) and read.action[3].tolist() == [[100, 101], [102, 103]]
    assert read.labelled.tolist() == [True, True, False] * 2 and not read.action[~read.labelled].any()
    assert read.state[:, 0].tolist() == [0, 0, 0, 1, 1, 1] and read.length.tolist() == [3, 3]
    assert (read.quality[:3] == 0).all() and np.isnan(read.quality[3:]).all()  # the first episode failed
    assert read.frames["image.front"].shape == (6, 16, 16, 3)
    assert read.frames["image.front"][:].mean((1, 2, 3)).round().tolist() == [0, 0, 0, 10, 10, 10]
    assert read.instruction.tolist() == [0] * 6 and len(read.text) == 1


def test_colours_are_told_apart_by_four_bits_of_red_green_and_blue() -> None:
    levels = 16 * torch.arange(16, dtype=torch.uint8)
    every = torch.cartesian_prod(levels, levels, levels)
    assert torch.equal(colours(every), torch.arange(COLOURS))
    assert torch.equal(colours(every + 15), torch.arange(COLOURS))


def test_rare_colours_count_more_pixel_by_pixel() -> None:
    recorded = moving_square(episodes=2, rows=4)
    recorded.frames["image.front"][:, 5, 15] = (10, 250, 10)  # one pixel of 256
    told = emphasised(recorded, most=5.0)
    model = small_model(recorded)  # of pixels
    batch = batch_of(model, [told], (np.zeros(1, int), np.arange(4)[None], np.zeros((1, 4), bool)))
    weight, seen = batch.emphasis["what is seen"][0, 0], batch.values["what is seen"][0, 0]
    green = (seen.unflatten(-1, (-1, 3))[..., 1:2] > 0.9).expand(-1, -1, 3).flatten(1)
    assert green.sum() == 3 and (weight[green] == weight.max()).all()
    assert 1.5 < weight.max() <= 5 and (weight[~green] == 1).all()


def test_weights_of_latents_are_the_mean_of_their_pixels() -> None:
    weight = torch.arange(16.0).view(1, 4, 4)
    assert by_token(weight, 4, 2)[0].tolist() == [[2.5, 2.5], [4.5, 4.5], [10.5, 10.5], [12.5, 12.5]]


def test_episodes_that_went_well_are_those_in_most_of_whose_rows_an_expert_acted() -> None:
    recorded = moving_square(3, rows=8)
    quality = np.ones(24, np.float32)
    quality[:5], quality[8:11], quality[16:] = 0.0, 0.0, np.nan
    chosen = done_well("labelled")(small_model(recorded), {"labelled": replace(recorded, quality=quality)})
    np.testing.assert_array_equal(chosen.action, recorded.action[8:])
    poor = replace(recorded, quality=np.zeros(24, np.float32))
    assert done_well("labelled")(small_model(recorded), {"labelled": poor}) is poor
