"""Recorded or labelled actions as a policy: what do they achieve when they are executed without looking?"""

from collections.abc import Sequence

import numpy as np

from presage.worlds.protocol import Observation


class ReplayPolicy:
    """Plays one sequence of chunks per episode, in the order in which episodes are reset; then stands still.

    Args:
        sequences: one (T, chunk, A) per episode.
    """

    def __init__(self, sequences: Sequence[np.ndarray]) -> None:
        self.sequences, self.next = list(sequences), 0
        self.playing: list[np.ndarray] = []
        self.step = 0

    def reset(self, instructions: list[str]) -> None:
        """Take the sequences of the next `len(instructions)` episodes."""
        self.playing = self.sequences[self.next : self.next + len(instructions)]
        self.next += len(instructions)
        self.step = 0

    def act(self, observation: Observation) -> np.ndarray:
        count = len(next(iter(observation.values())))
        chunks = np.zeros((count, *self.playing[0].shape[1:]), np.float32)
        for row, sequence in enumerate(self.playing):
            if self.step < len(sequence):
                chunks[row] = sequence[self.step]
        self.step += 1
        return chunks
