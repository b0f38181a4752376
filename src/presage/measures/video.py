"""How close predicted frames are to true ones.

Frames are uint8 (..., H, W, 3), usually (T, H, W, 3). The peak is 255 throughout.
"""

import numpy as np

PEAK = 255.0
SSIM_WINDOW = 11  # side of the Gaussian window of the published definition; smaller images have no SSIM
SSIM_BATCH = 64  # frames at a time: the five filtered maps of a long video would not fit into memory


def frame_errors(frames: np.ndarray, reference: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Mean squared error of each frame: (..., H, W, 3) twice -> (...,) float64, in squared 8-bit levels.

    To average PSNR over episodes, average these and convert once with `decibels`: a mean of decibels is
    infinite as soon as one frame is exact, which a still start makes common.

    Args:
        mask: optional (..., H, W) bool; only these pixels count. A frame without any gives nan.
    Raises:
        ValueError: shapes or types differ from the above.
    """
    _check(frames, reference)
    squared = (frames.astype(np.float32) - reference.astype(np.float32)) ** 2
    if mask is None:
        return squared.mean(axis=(-3, -2, -1), dtype=np.float64)
    _check_mask(mask, frames)
    summed = (squared.sum(axis=-1) * mask).sum(axis=(-2, -1), dtype=np.float64)
    pixels = mask.sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pixels > 0, summed / (3 * pixels), np.nan)


def decibels(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error of 8-bit levels; infinite at 0."""
    if mean_squared_error == 0:
        return float("inf")
    return float(10 * np.log10(PEAK**2 / mean_squared_error))


def psnr(frames: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, from the mean squared error over all frames; infinite when equal.

    Args:
        frames: (..., H, W, 3) uint8.
        reference: alike.
    Raises:
        ValueError: shapes or types differ from the above.
    """
    return decibels(float(frame_errors(frames, reference).mean()))


def masked_psnr(frames: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """`psnr` over the pixels where `mask` (..., H, W) bool is set, each pixel of the video counting the same.

    Most of a manipulation scene is a table that never moves; this asks about gripper, object and goal alone.

    Raises:
        ValueError: shapes or types differ, or the mask is empty.
    """
    _check_mask(mask, frames)
    pixels = mask.sum(axis=(-2, -1))
    if pixels.sum() == 0:
        raise ValueError("the mask has no pixel")
    errors = frame_errors(frames, reference, mask)
    return decibels(float(np.nansum(errors * pixels) / pixels.sum()))


def ssim(frames: np.ndarray, reference: np.ndarray) -> float:
    """Structural similarity, mean over frames; 1 is equality.

    Args:
        frames: (..., H, W, 3) uint8, H and W at least 11 (the Gaussian window).
        reference: alike.
    Raises:
        ValueError: shapes or types differ from the above.
    Source: Wang et al., Image quality assessment: from error visibility to structural similarity (2004), as
        in torchmetrics.
    """
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    _check(frames, reference)
    height, width = frames.shape[-3:-1]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of at least {SSIM_WINDOW} pixels a side, got {height} x {width}")

    def images(video: np.ndarray) -> torch.Tensor:
        flat = np.ascontiguousarray(video.reshape(-1, height, width, 3))
        return torch.from_numpy(flat).permute(0, 3, 1, 2)

    predicted, true = images(frames), images(reference)
    similarities = [
        structural_similarity_index_measure(a.float(), b.float(), data_range=PEAK, reduction="none")
        for a, b in zip(predicted.split(SSIM_BATCH), true.split(SSIM_BATCH))
    ]
    return float(torch.cat([torch.as_tensor(s).reshape(-1) for s in similarities]).mean())


def _check(frames: np.ndarray, reference: np.ndarray) -> None:
    if frames.shape != reference.shape:
        raise ValueError(f"frames {frames.shape} and reference {reference.shape} differ in shape")
    if frames.ndim < 3 or frames.shape[-1] != 3 or frames.size == 0:
        raise ValueError(f"frames are (..., H, W, 3) and not empty, got {frames.shape}")
    if frames.dtype != np.uint8 or reference.dtype != np.uint8:
        raise ValueError(f"frames are uint8, got {frames.dtype} and {reference.dtype}")


def _check_mask(mask: np.ndarray, frames: np.ndarray) -> None:
    if mask.dtype != np.bool_ or mask.shape != frames.shape[:-1]:
        raise ValueError(f"the mask is bool {frames.shape[:-1]}, got {mask.dtype} {mask.shape}")
