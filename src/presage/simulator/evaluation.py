"""Evaluation: does a policy's success in the dream say what its success in the simulator will be?

The same call, `rollout(policy, world, ...)`, with the other world (Quevedo et al. 2025, WorldGym; Li et al. 2025,
WorldEval). What is compared are policies, so policies are the unit of every statistic.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from presage.measures.correlation import Interval, mmrv, pearson, spearman
from presage.policy.protocol import Policy
from presage.simulator.environment import DreamWorld
from presage.worlds.rollout import RolloutResult, rollout


@dataclass(frozen=True)
class Judged:
    """One policy's episodes in both worlds, in the same order."""

    real: list[RolloutResult]
    imagined: list[RolloutResult]

    @property
    def real_success(self) -> float:
        return float(np.mean([r.success for r in self.real]))

    @property
    def imagined_success(self) -> float:
        return float(np.mean([r.success for r in self.imagined]))

    def without_frames(self) -> "Judged":
        """The outcomes alone: frames of many policies would fill the memory."""
        return Judged(*([replace(r, frames={}) for r in side] for side in (self.real, self.imagined)))


@dataclass(frozen=True)
class Agreement:
    """How imagined success agrees with real success over P policies; intervals are bootstrapped over policies."""

    pearson: Interval
    spearman: Interval
    mmrv: float
    """Mean maximum rank violation, in units of real success: 0 is a perfect ranking."""


def judge(
    policy: Policy,
    world: Any,
    dream: DreamWorld,
    tasks: Sequence[str],
    seeds: Sequence[int],
    max_steps: int,
    record: bool = False,
) -> Judged:
    """Run a policy from the same first frames in the simulator and in the dream; `record` keeps frames and actions."""
    return Judged(*(rollout(policy, w, tasks, seeds, max_steps, record) for w in (world, dream)))


def agreement(judged: Mapping[str, Judged]) -> Agreement:
    """Of at least three policies, better eight or more that differ in method, data or noise.

    Raises:
        ValueError: fewer than three policies.
    """
    real = [j.real_success for j in judged.values()]
    imagined = [j.imagined_success for j in judged.values()]
    return Agreement(pearson(imagined, real), spearman(imagined, real), mmrv(imagined=imagined, real=real))


class Disturbed:
    """A policy made worse in a chosen way, so that there is something to rank.

    Args:
        change: maps the chunks (N, chunk, A) of every call to those executed instead.
        instruct: maps the instructions to those the policy is told instead.
    """

    def __init__(
        self,
        policy: Policy,
        change: Callable[[np.ndarray], np.ndarray] = lambda chunks: chunks,
        instruct: Callable[[list[str]], list[str]] = lambda instructions: instructions,
    ) -> None:
        self.policy, self.change, self.instruct = policy, change, instruct

    def reset(self, instructions: list[str]) -> None:
        self.policy.reset(self.instruct(instructions))

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return self.change(self.policy.act(observation))


def action_noise(sigma: float, seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """A change that shifts every chunk by one Gaussian offset (standard deviation `sigma`) for all its steps."""
    rng = np.random.default_rng(seed)

    def change(chunks: np.ndarray) -> np.ndarray:
        offset = sigma * rng.standard_normal((len(chunks), 1, chunks.shape[2]))
        return (chunks + offset).astype(np.float32)

    return change


def other_instruction(instructions: list[str]) -> list[str]:
    """Every episode is told what its neighbour is to do."""
    return instructions[1:] + instructions[:1]
