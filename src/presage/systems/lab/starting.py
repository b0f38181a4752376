"""First frames of episodes that nobody recorded: what a camera shows before anything is done."""

from collections.abc import Sequence

import numpy as np

from presage.codecs.text import embed_text
from presage.networks.composed import IMAGE
from presage.systems.lab.arms import CAMERAS, CHUNK, SIZE
from presage.systems.lab.starts import near_starts
from presage.training.recorded import Recorded
from presage.worlds.collect import renderer_of
from presage.worlds.instructions import draw_instruction
from presage.worlds.seeds import FIRST_TRAINING_SEED
from presage.worlds.world import find_world

FIRST_SEED = FIRST_TRAINING_SEED + 990 * 1_000_000


def first_frames(tasks: Sequence[str], count: int, cameras: Sequence[str] = CAMERAS) -> Recorded:
    """`count` starts that are not far, tasks in turn, as episodes of one row without an action."""
    frames: dict[str, list[np.ndarray]] = {f"{IMAGE}{camera}": [] for camera in cameras}
    said: list[str] = []
    state, asked = [], [tasks[i % len(tasks)] for i in range(count)]
    for task, (seed, simulation) in zip(asked, near_starts(asked, FIRST_SEED), strict=True):
        renderer = renderer_of(find_world(task), tuple(cameras), SIZE, 2)
        for camera, image in simulation.frames(renderer).items():
            frames[f"{IMAGE}{camera}"].append(image)
        state.append(simulation.state)
        said.append(draw_instruction(task, seed))
    words, number = np.unique(said, return_inverse=True)
    return Recorded(
        {name: np.stack(images) for name, images in frames.items()},
        np.zeros((count, CHUNK, find_world(tasks[0]).action_size), np.float32),
        np.zeros(count, bool),
        np.stack(state),
        np.full(count, np.nan, np.float32),
        number,
        embed_text(list(words)),
        np.ones(count, int),
    )
