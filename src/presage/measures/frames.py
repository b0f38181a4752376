"""What a prediction gets right by region, how sharp it is, and whether it stands still.

Frames are uint8 (..., H, W, 3).
"""

from collections.abc import Sequence

import numpy as np

from presage.measures.video import masked_psnr

STILL = 0.2
"""Mean difference in 8-bit levels below which two frames are the same picture: what a codec makes of a picture that
stands still differs by less, and the smallest motion of a hand by more."""


def region_psnr(frames: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """`masked_psnr` in dB over the pixels of a region, each counting the same; nan where there are none.

    Raises:
        ValueError: shapes or types differ.
    """
    return masked_psnr(frames, reference, mask) if mask.any() else float("nan")


def sharpness(frames: np.ndarray, reference: np.ndarray) -> float:
    """Gradient energy of the frames over that of the reference: below 1 they are blurred, above 1 noisy."""
    return gradient_energy(frames) / gradient_energy(reference)


def gradient_energy(frames: np.ndarray) -> float:
    """Mean squared difference between neighbours, along rows and columns, in squared 8-bit levels."""
    import torch
    from torchmetrics.functional.image import image_gradients

    flat = np.ascontiguousarray(frames.reshape(-1, *frames.shape[-3:]))
    down, right = image_gradients(torch.from_numpy(flat).permute(0, 3, 1, 2).float())
    return float(down[:, :, :-1].square().mean() + right[..., :-1].square().mean())


def frozen(frames: np.ndarray, reference: np.ndarray, last: int = 32) -> float:
    """Share of the `last` frames of videos (N, T, ..., H, W, 3) that are no other than an earlier one of these, among
    those that are another in the reference."""
    return _mean([_frozen(video, true) for video, true in zip(frames[:, -last:], reference[:, -last:], strict=True)])


def _frozen(video: np.ndarray, true: np.ndarray) -> float:
    """Of one video (T, ..., H, W, 3)."""
    changed = ~_repeats(true)
    return float(_repeats(video)[changed].mean()) if changed.any() else float("nan")


def _repeats(video: np.ndarray) -> np.ndarray:
    """(T - 1,) whether each frame after the first repeats an earlier one."""
    flat = video.reshape(len(video), -1).astype(np.int16)
    return np.array([(np.abs(flat[:t] - flat[t]).mean(1) < STILL).any() for t in range(1, len(flat))])


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
