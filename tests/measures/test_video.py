"""Video metrics: torchmetrics as reference, masks, limits."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from presage.measures.video import decibels, frame_errors, masked_psnr, psnr, ssim

shapes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.just(3))


@st.composite
def video_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(shapes)
    video = hnp.arrays(np.uint8, shape)
    return draw(video), draw(video)


def noisy_videos(frames: int = 3, side: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 256, (frames, side, side, 3), dtype=np.uint8)
    noise = rng.integers(-30, 31, true.shape)
    return np.clip(true + noise, 0, 255).astype(np.uint8), true


@given(video_pairs())
def test_psnr_agrees_with_torchmetrics(pair) -> None:
    frames, reference = pair
    expected = peak_signal_noise_ratio(
        torch.from_numpy(frames).double(), torch.from_numpy(reference).double(), data_range=255.0
    )
    assert psnr(frames, reference) == pytest.approx(float(expected), abs=1e-3)


@given(video_pairs())
def test_psnr_is_symmetric_and_infinite_on_equality(pair) -> None:
    frames, reference = pair
    assert psnr(frames, reference) == pytest.approx(psnr(reference, frames))
    assert psnr(frames, frames) == np.inf


def test_one_exact_frame_does_not_make_a_video_exact() -> None:
    frames, reference = noisy_videos()
    frames[0] = reference[0]
    errors = frame_errors(frames, reference)
    assert errors.shape == (3,) and errors[0] == 0
    assert psnr(frames, reference) == pytest.approx(decibels(errors.mean()))
    assert psnr(frames, reference) < 40


@given(video_pairs())
def test_full_mask_changes_nothing(pair) -> None:
    frames, reference = pair
    mask = np.ones(frames.shape[:-1], dtype=bool)
    assert masked_psnr(frames, reference, mask) == pytest.approx(psnr(frames, reference))
    assert frame_errors(frames, reference, mask) == pytest.approx(frame_errors(frames, reference))


def test_mask_looks_at_its_pixels_only() -> None:
    frames, reference = noisy_videos()
    mask = np.zeros(frames.shape[:-1], dtype=bool)
    mask[0, 4:8, 4:8] = True
    mask[1, 0, 0] = True
    elsewhere = frames.copy()
    elsewhere[~mask] = 255 - elsewhere[~mask]
    assert masked_psnr(elsewhere, reference, mask) == masked_psnr(frames, reference, mask)
    # Pixels count the same wherever they are: one frame holds 16 of them, another one, the third none.
    squared = (frames[mask].astype(float) - reference[mask].astype(float)) ** 2
    assert masked_psnr(frames, reference, mask) == pytest.approx(decibels(squared.mean()))
    assert np.isnan(frame_errors(frames, reference, mask)[2])


def test_ssim_agrees_with_torchmetrics_across_batches() -> None:
    frames, reference = noisy_videos(frames=70)
    expected = structural_similarity_index_measure(
        torch.from_numpy(frames).permute(0, 3, 1, 2).float(),
        torch.from_numpy(reference).permute(0, 3, 1, 2).float(),
        data_range=255.0,
    )
    assert ssim(frames, reference) == pytest.approx(float(expected), abs=1e-5)
    assert ssim(reference, reference) == pytest.approx(1.0)
    assert ssim(frames[0], reference[0]) == pytest.approx(ssim(frames[:1], reference[:1]))


def test_refuses_what_is_no_video() -> None:
    frames, reference = noisy_videos()
    mask = np.zeros(frames.shape[:-1], dtype=bool)
    for call, says in [
        (lambda: psnr(frames, reference[1:]), "differ in shape"),
        (lambda: psnr(frames.astype(np.float32), reference), "uint8"),
        (lambda: psnr(frames[..., :1], reference[..., :1]), "H, W, 3"),
        (lambda: masked_psnr(frames, reference, mask), "no pixel"),
        (lambda: masked_psnr(frames, reference, mask[0]), "the mask is bool"),
        (lambda: masked_psnr(frames, reference, mask.astype(np.uint8)), "the mask is bool"),
        (lambda: ssim(frames[:, :8], reference[:, :8]), "at least 11 pixels"),
    ]:
        with pytest.raises(ValueError, match=says):
            call()
