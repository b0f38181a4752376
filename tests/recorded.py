"""A small recording in memory: a square that the action moves."""

from collections.abc import Sequence

import numpy as np

from presage.episodes.mixture import Drawn
from presage.networks.composed import Composed
from presage.training.batch import Batch
from presage.training.held import held, pick
from presage.training.recorded import Recorded

SIZE, CHUNK, ACTIONS = 16, 2, 2


def moving_square(
    episodes: int = 6, rows: int = 8, seed: int = 0, cameras: tuple[str, ...] = ("image.front",)
) -> Recorded:
    """Each chunk moves a 4 x 4 square by its sum, in pixels; the state is where it is. Success: on the right."""
    rng = np.random.default_rng(seed)
    total = episodes * rows
    action = rng.uniform(-1, 1, (total, CHUNK, ACTIONS)).astype(np.float32)
    state = np.zeros((total, 2), np.float32)
    frames = np.full((total, SIZE, SIZE, 3), 60, np.uint8)
    for i in range(total):
        moved = state[i - 1] + action[i - 1].sum(0)
        state[i] = np.clip(moved, 0, SIZE - 4) if i % rows else rng.uniform(2, SIZE - 6, 2)
        y, x = state[i].round().astype(int)
        frames[i, y : y + 4, x : x + 4] = (200, 40, 90)
    text = rng.standard_normal((1, 256)).astype(np.float32)
    return Recorded(
        dict.fromkeys(cameras, frames),
        action,
        np.ones(total, bool),
        state,
        np.ones(total, np.float32),
        np.zeros(total, int),
        text,
        np.full(episodes, rows),
        ["move"] * episodes,
        to_success=np.where(state[:, 0] > 6, 0.0, np.inf),
    )


def batch_of(model: Composed, parts: Sequence[Recorded], drawn: Drawn, pictures: bool = False) -> Batch:
    """`pick` of rows that are held for this batch alone."""
    return pick(model, [held(model, part) for part in parts], drawn, pictures)
