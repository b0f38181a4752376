"""What the dreams of clips are worth: errors by pixel, step and camera, with true and with wrong actions.

Everything is kept as sums over pixels, clip by clip, so that any mean and any bootstrap over episodes follow from it.
Shapes: B clips, N steps, C cameras of S pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from presage.errors import UserError
from presage.measures.frames import gradient_energy
from presage.simulator.frames.imagine import Imagines
from presage.simulator.gate.clips import Clips, wrong_actions

MOVED = 20
"""A pixel moves where a channel differs by more from the last frame that was shown, of 255"""
TRUE, AGAIN, COPY, MEAN = "true actions", "true actions again", "copied frame", "mean frame"
BATCH = 16
"""Clips that are dreamed together"""


@dataclass(frozen=True, eq=False)
class Measured:
    """Sums over pixels. Squared errors are means over the three colours, in squared 8-bit levels."""

    episode: np.ndarray  # (B,)
    cameras: tuple[str, ...]
    pixels: dict[str, np.ndarray]
    """region -> (B, N, C) how many: `all`; `moving` and `still`, as the recording shows them; `changed`, what moves in
    the recording or in the dream of the true actions"""
    error: dict[str, dict[str, np.ndarray]]
    """whose frames -> region -> (B, N, C)"""
    apart: dict[str, np.ndarray]
    """which actions -> (B, N, C) squared difference between the dreams of these and of the true ones, where it moves"""
    energy: dict[str, np.ndarray]
    """dreamed, recorded -> (N, C) gradient energy"""

    @property
    def steps(self) -> int:
        return self.pixels["all"].shape[1]

    def of(self, episodes: np.ndarray) -> "Measured":
        """Clips of some episodes alone; energies are those of all."""
        rows = np.isin(self.episode, episodes)
        error = {name: _rows(regions, rows) for name, regions in self.error.items()}
        return replace(
            self,
            episode=self.episode[rows],
            pixels=_rows(self.pixels, rows),
            error=error,
            apart=_rows(self.apart, rows),
        )


def _rows(sums: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: x[rows] for name, x in sums.items()}


@dataclass(frozen=True, eq=False)
class Filmed:
    """Dreams of the first clip of some episodes."""

    clips: Clips
    frames: dict[str, np.ndarray]
    """which actions -> (B, N, C, S, S, 3) uint8"""


def measure(imagine: Imagines, clips: Clips, seed: int = 0, films: int = 0) -> tuple[Measured, Filmed]:
    """Dream all clips with true and with wrong actions, all with the same noise, and with the true ones again with
    other noise, which shows chance alone.

    films: how many episodes are kept as films.

    Raises:
        UserError: there is one episode alone, or the model returns other frames than it was asked for.
    """
    given = {TRUE: clips.actions, AGAIN: clips.actions, **wrong_actions(clips, seed)}
    mean = np.concatenate([clips.shown.frames, clips.truth], 1).mean((0, 1)).round().astype(np.uint8)
    _, first = np.unique(clips.episode, return_index=True)
    wanted = np.sort(first)[:films]
    parts: list[Measured] = []
    shots: dict[str, list[np.ndarray]] = {name: [] for name in given if name != AGAIN}
    batches = np.split(np.arange(len(clips)), range(BATCH, len(clips), BATCH))
    for rows in tqdm(batches, desc="dreaming", unit="batch", disable=len(batches) == 1):
        part = clips.part(rows)
        frames = {
            name: _checked(imagine(part.shown, actions[rows], int(name == AGAIN)), part)
            for name, actions in given.items()
        }
        for name, kept in shots.items():
            kept += list(frames[name][np.isin(rows, wanted)])
        parts.append(_sums(part, frames, mean))
    return _joined(parts), Filmed(clips.part(wanted), {name: np.array(kept) for name, kept in shots.items()})


def _checked(frames: np.ndarray, clips: Clips) -> np.ndarray:
    if frames.shape != clips.truth.shape or frames.dtype != np.uint8:
        raise UserError(
            f"the model's frames are {frames.dtype} {frames.shape[2:]} (cameras, height, width, colours), the recorded "
            f"ones uint8 {clips.truth.shape[2:]}: choose --size and --cameras to fit"
        )
    return frames


def _sums(clips: Clips, frames: dict[str, np.ndarray], mean: np.ndarray) -> Measured:
    truth, last = clips.truth, np.repeat(clips.shown.frames[:, -1:], clips.steps, 1)
    moving, moved = (np.abs(x.astype(np.int16) - last).max(-1) > MOVED for x in (truth, frames[TRUE]))
    masks = {"all": np.ones_like(moving), "moving": moving, "still": ~moving, "changed": moving | moved}
    baselines = {COPY: last, MEAN: np.broadcast_to(mean, truth.shape)}
    error = {}
    for name, images in (*frames.items(), *baselines.items()):
        squared = _squared(images, truth)
        error[name] = {region: _within(squared, mask) for region, mask in masks.items()}
    true = frames[TRUE]
    apart = {name: _within(_squared(x, true), moving) for name, x in frames.items() if name != TRUE}
    n, c = truth.shape[1:3]
    energy = {
        whose: np.array([[gradient_energy(x[:, t, i]) * len(x) for i in range(c)] for t in range(n)])
        for whose, x in (("dreamed", true), ("recorded", truth))
    }
    pixels = {region: mask.sum((-2, -1)).astype(np.float64) for region, mask in masks.items()}
    return Measured(clips.episode, clips.cameras, pixels, error, apart, energy)


def _squared(images: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(..., S, S) mean over colours."""
    return np.square(images.astype(np.float32) - other).mean(-1)


def _within(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Sums over pixels of a mask, (B, N, C)."""
    return (values * mask).sum((-2, -1), dtype=np.float64)


def _joined(parts: Sequence[Measured]) -> Measured:
    first, *_ = parts

    def both(pick: str) -> dict[str, np.ndarray]:
        return {name: np.concatenate([getattr(p, pick)[name] for p in parts]) for name in getattr(first, pick)}

    error = {
        name: {region: np.concatenate([p.error[name][region] for p in parts]) for region in regions}
        for name, regions in first.error.items()
    }
    energy = {whose: np.sum([p.energy[whose] for p in parts], 0) for whose in first.energy}
    episode = np.concatenate([p.episode for p in parts])
    return Measured(episode, first.cameras, both("pixels"), error, both("apart"), energy)
