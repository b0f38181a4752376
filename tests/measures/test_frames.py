"""Regions, sharpness and frames that repeat, on pictures made by hand."""

import numpy as np
import pytest

from presage.measures.frames import frozen, region_psnr, sharpness


def test_a_region_counts_its_own_pixels_alone() -> None:
    truth = np.zeros((1, 8, 8, 3), np.uint8)
    frames = truth.copy()
    frames[0, :4] = 255  # the upper half is as wrong as can be
    upper = np.zeros((1, 8, 8), bool)
    upper[0, :4] = True
    assert region_psnr(frames, truth, upper) == pytest.approx(0.0)
    assert region_psnr(frames, truth, ~upper) == float("inf")


def test_a_region_that_no_frame_shows_has_no_figure() -> None:
    truth = np.zeros((3, 8, 8, 3), np.uint8)
    assert np.isnan(region_psnr(truth, truth, np.zeros((3, 8, 8), bool)))


def test_blur_lowers_sharpness_and_noise_raises_it() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.repeat(rng.integers(0, 256, (2, 8, 8, 3), np.uint8), 4, 1), 4, 2)
    blurred = (truth.astype(int) + np.roll(truth, 1, 1) + np.roll(truth, 1, 2) + np.roll(truth, (1, 1), (1, 2))) // 4
    noisy = np.clip(truth + rng.normal(0, 30, truth.shape), 0, 255)
    assert sharpness(truth, truth) == 1
    assert sharpness(blurred.astype(np.uint8), truth) < 0.8
    assert sharpness(noisy.astype(np.uint8), truth) > 1.1


def test_frames_that_repeat_are_counted_where_the_truth_changes() -> None:
    moving = np.arange(8, dtype=np.uint8)[None, :, None, None, None] * np.ones((1, 8, 4, 4, 3), np.uint8)
    assert frozen(moving, moving) == 0
    assert frozen(np.zeros_like(moving), moving) == 1
    swinging = moving % 2  # never the frame before, but nothing new after the second
    assert frozen(swinging, moving) == pytest.approx(6 / 7)
    assert np.isnan(frozen(moving, np.zeros_like(moving)))
    half = moving.copy()
    half[:, 4:] = half[:, 3:4]
    assert frozen(half, moving, last=4) == 1  # of the last frames alone
