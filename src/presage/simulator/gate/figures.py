"""The gate's measures as people read them: decibels, levels and shares, by camera and step.

Shapes: N steps, C cameras.
"""

from collections.abc import Iterator

import numpy as np

from presage.measures.video import decibels
from presage.simulator.gate.clips import WRONG
from presage.simulator.gate.measure import AGAIN, COPY, MEAN, TRUE, Measured
from presage.simulator.gate.verdict import Verdict, beats_until

SHOWN = (TRUE, COPY, MEAN, *WRONG)
"""Whose errors are shown, in this order"""


def psnr(found: Measured, name: str, region: str) -> np.ndarray:
    """(N, C) decibels over the pixels of a region; nan where there are none."""
    error, pixels = found.error[name][region].sum(0), found.pixels[region].sum(0)
    return np.array([[decibels(e / p) if p else np.nan for e, p in zip(*row)] for row in zip(error, pixels)])


def sensitivity(found: Measured, name: str = "other episode") -> np.ndarray:
    """(N, C) how far the dream of other actions is from that of the true ones, over how far the recorded frames have
    moved, both as roots of mean squares over the pixels that move: 0 for a model that is deaf. Of the true actions
    again it is what chance alone does."""
    moved = found.error[COPY]["moving"].sum(0)
    return np.sqrt(found.apart[name].sum(0) / np.where(moved > 0, moved, np.nan))


def drift(found: Measured) -> np.ndarray:
    """(N, C) root mean squared error, in levels of 255, over pixels that stand still in the recording."""
    pixels = found.pixels["still"].sum(0)
    return np.sqrt(found.error[TRUE]["still"].sum(0) / np.where(pixels > 0, pixels, np.nan))


def sharpness(found: Measured) -> np.ndarray:
    """(N, C) gradient energy of the dreamed frames over that of the recorded ones: below 1 they are blurred."""
    return found.energy["dreamed"] / np.where(found.energy["recorded"] > 0, found.energy["recorded"], np.nan)


def horizons(steps: int) -> list[int]:
    """1, 2, 4, ... and the last."""
    return sorted({*(2**i for i in range(steps.bit_length()) if 2**i <= steps), steps})


def rows_of(found: Measured, camera: int) -> Iterator[tuple[str, np.ndarray]]:
    """What is said of a camera, step by step: name, (N,)."""
    for name in SHOWN:
        yield f"{name}, pixels that move, dB", psnr(found, name, "moving")[:, camera]
    for name in (TRUE, COPY, MEAN):
        yield f"{name}, all pixels, dB", psnr(found, name, "all")[:, camera]
    yield "sensitivity to actions", sensitivity(found)[:, camera]
    yield "the same actions again", sensitivity(found, AGAIN)[:, camera]
    yield "drift, levels", drift(found)[:, camera]
    yield "sharpness", sharpness(found)[:, camera]


def figures_of(found: Measured, verdict: Verdict) -> dict[str, object]:
    """All of it, flat, for `--json`."""
    figures: dict[str, object] = {"verdict": verdict.says, "reason": verdict.reason, "episodes": verdict.episodes}
    figures |= {"clips": len(found.episode), "steps": found.steps, "steps_of_verdict": verdict.steps}
    for name, interval in verdict.rise.items():
        figures |= dict(zip(_bounds(f"error_with_{name.replace(' ', '_')}_over_true"), interval))
    figures |= dict(zip(_bounds("error_over_copied_frame"), verdict.over_copy))
    figures["beats_baselines_until"] = beats_until(found)
    for i, camera in enumerate(found.cameras):
        figures[f"{camera}/beats_baselines_until"] = beats_until(found, i)
        for name, values in rows_of(found, i):
            figures |= {f"{camera}/{name}/{step}": float(values[step - 1]) for step in horizons(found.steps)}
    return figures


def _bounds(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"
