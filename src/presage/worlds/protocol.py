"""What a policy is, for every world, real or dreamed.

Experts, baselines, model-based policies and remote ones all speak this protocol, so `worlds.rollout.rollout` is one
function and "evaluate in imagination" is the same call with another environment.
"""

from typing import Protocol

import numpy as np

Observation = dict[str, np.ndarray]
"""`image.<camera>` (N, H, W, 3) uint8 and `state` (N, S) float32, one row per environment.
Optionally `active` (N,) bool: rows that are False have finished and are never executed again, so a policy may skip
them; and `episode` (N,) int64: a number for each episode, the same wherever it runs, for random numbers to follow."""


def streams_of(observation: Observation) -> Observation:
    """What was observed alone: images and state."""
    return {name: x for name, x in observation.items() if name not in ("active", "episode")}


class Policy(Protocol):
    """Acts on a batch of N environments at once."""

    def reset(self, instructions: list[str]) -> None:
        """Forget the past; one instruction per environment."""
        ...

    def act(self, observation: Observation) -> np.ndarray:
        """Return the action chunk (N, chunk, A) float32 executed until the next call."""
        ...
