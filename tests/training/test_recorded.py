"""Recordings in memory: chosen, joined, their labels withheld."""

import numpy as np
import torch

from presage.systems.lab.arms import shape_of
from presage.systems.system import DEBUG
from presage.systems.uwm import uwm
from presage.training.recorded import batch_of, joined
from tests.recorded import moving_square


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


def test_video_without_labels_says_so_in_its_batches() -> None:
    recorded = moving_square(episodes=2, rows=4).without_labels([1])
    model = uwm(shape_of(recorded), DEBUG).build(shape_of(recorded))
    rows = np.array([[0, 1], [4, 5]])
    batch = batch_of(model, [recorded], (np.zeros(2, int), rows, np.zeros((2, 2), bool)))
    assert batch.present["action"].tolist() == [[True, True], [False, False]]
    assert set(batch.values) == {"action", "image.front"} and not batch.pictures

    batch = batch_of(model, [recorded], (np.zeros(2, int), rows, np.zeros((2, 2), bool)), pictures=True)
    assert torch.equal(batch.pictures["image.front"], torch.from_numpy(recorded.frames["image.front"][rows]))
    assert "image.front" not in batch.values
