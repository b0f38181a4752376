"""What policies did in the simulator, as data: their episodes with all that went wrong, and how each ended."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from presage.codecs.text import embed_text
from presage.networks.composed import IMAGE
from presage.systems.lab.arms import CAMERAS, CHUNK, MAX_STEPS, SIZE
from presage.training.recorded import Recorded, joined
from presage.worlds.protocol import Policy
from presage.worlds.rollout import rollout
from presage.worlds.seeds import FIRST_TRAINING_SEED
from presage.worlds.vector import VectorWorld

FIRST_ROLLED = FIRST_TRAINING_SEED + 909 * 1_000_000
"""Of episodes that models learn from in this way"""


@dataclass(frozen=True, eq=False)
class Rolled:
    recorded: Recorded
    """Nobody's example: quality 0"""
    success: np.ndarray
    """(episodes,) bool"""
    snapshots: list[bytes]
    """Of the simulation at the end of each"""


def rolled(
    policy: Policy,
    tasks: Sequence[str],
    seeds: Sequence[int],
    cameras: Sequence[str] = CAMERAS,
    max_steps: int = MAX_STEPS,
    at_once: int = 16,
) -> Rolled:
    """One episode of a policy for each (task, seed) pair, with what was seen and done."""
    parts, success, snapshots = [], [], []
    with closing(VectorWorld(sorted(set(tasks)), min(at_once, len(seeds)), cameras, SIZE, chunk=CHUNK)) as world:
        for i in range(0, len(seeds), world.num_envs):
            now = slice(i, i + world.num_envs)
            results = rollout(policy, world, tasks[now], seeds[now], max_steps, record=True)
            snapshots += world.snapshot(range(len(results)))
            for each in results:
                success.append(each.success)
                assert each.actions is not None and each.states is not None
                length = len(each.states)
                action = np.zeros((length, *each.actions.shape[1:]), np.float32)
                action[:-1] = each.actions
                done = np.arange(length) < length - 1  # nothing is done after the last frame
                frames = {f"{IMAGE}{camera}": images for camera, images in each.frames.items()}
                quality, told, text = (
                    np.zeros(length, np.float32),
                    np.zeros(length, int),
                    embed_text([each.instruction]),
                )
                columns = (action, done, each.states, quality, told, text, np.array([length]), [each.task])
                parts.append(Recorded(frames, *columns))
    whole = joined(parts)
    words, number = np.unique(whole.text, axis=0, return_inverse=True)
    whole = replace(whole, text=words, instruction=number.reshape(-1)[whole.instruction])
    return Rolled(whole, np.array(success), snapshots)
