"""Evaluation: does a policy's success in the dream say what its success in the simulator will be?

The same call, `rollout(policy, world, ...)`, with the other world (Quevedo et al. 2025, WorldGym; Li et al. 2025,
WorldEval). What is compared are policies, so policies are the unit of every statistic.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from presage.measures.agreement import kappa
from presage.measures.correlation import Interval, mmrv_interval, pearson, spearman
from presage.simulator.environment import DreamWorld
from presage.worlds.instructions import MT10
from presage.worlds.instructions import instructions as wordings
from presage.worlds.protocol import Policy
from presage.worlds.rollout import RolloutResult, episodes_of, rollout, row_generators
from presage.worlds.wordings import WORLDS


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
    mmrv: Interval
    """Mean maximum rank violation, in units of real success: 0 is a perfect ranking."""
    kappa: Interval
    """Of single episodes: whether each succeeds in imagination if and only if it does in reality"""


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
    """Of at least three policies, better fourteen or more that differ in kind.

    Raises:
        ValueError: fewer than three policies.
    """
    real = [j.real_success for j in judged.values()]
    imagined = [j.imagined_success for j in judged.values()]
    dreamed = [[episode.success for episode in j.imagined] for j in judged.values()]
    happened = [[episode.success for episode in j.real] for j in judged.values()]
    return Agreement(
        pearson(imagined, real),
        spearman(imagined, real),
        mmrv_interval(imagined=imagined, real=real),
        kappa(imagined=dreamed, real=happened),
    )


Change = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""Chunks (N, chunk, A), the episode (N,) of each row, chunks since its beginning -> chunks."""


class Disturbed:
    """A policy made worse in a chosen way, so that there is something to rank.

    Args:
        change: maps the chunks (N, chunk, A) of every call to those executed instead. It is told the episode (N,) of
            each row and the step, so that an episode is disturbed alike in the simulator and in the dream, whatever
            runs beside.
        instruct: maps the instructions to those the policy is told instead.
    """

    def __init__(
        self,
        policy: Policy,
        change: Change = lambda chunks, episodes, step: chunks,
        instruct: Callable[[list[str]], list[str]] = lambda instructions: instructions,
    ) -> None:
        self.policy, self.change, self.instruct, self.step = policy, change, instruct, 0

    def reset(self, instructions: list[str]) -> None:
        self.step = 0
        self.policy.reset(self.instruct(instructions))

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        chunks = self.policy.act(observation)
        self.step += 1
        return self.change(chunks, episodes_of(observation, len(chunks)), self.step - 1)


def action_noise(sigma: float | np.ndarray, seed: int = 0) -> Change:
    """A change that shifts every chunk by one Gaussian offset for all its steps, of standard deviation `sigma`: one for
    all numbers, or (chunk, A)."""

    def change(chunks: np.ndarray, episodes: np.ndarray, step: int) -> np.ndarray:
        rows = row_generators(seed, episodes, step)
        offset = np.stack([row.standard_normal((1, chunks.shape[2])) for row in rows])
        return (chunks + sigma * offset).astype(np.float32)

    return change


def aside(size: float, seed: int = 0) -> Change:
    """A change that adds one horizontal offset of `size`, in a direction of the episode's own, to all its actions. An
    expert that steers towards a place comes to rest beside it.

    For robots whose first two actions displace the hand.
    """

    def change(chunks: np.ndarray, episodes: np.ndarray, step: int) -> np.ndarray:
        angles = np.array([row.uniform(0, 2 * np.pi) for row in row_generators(seed, episodes, 0)])
        moved = chunks.copy()
        moved[..., :2] += size * np.stack([np.cos(angles), np.sin(angles)], -1)[:, None]
        return moved.astype(np.float32)

    return change


def slowed(share: float) -> Change:
    """A change to `share` of the speed; the gripper, which is the last action, stays as fast."""

    def change(chunks: np.ndarray, episodes: np.ndarray, step: int) -> np.ndarray:
        return np.concatenate([share * chunks[..., :-1], chunks[..., -1:]], -1).astype(np.float32)

    return change


def never_closing(chunks: np.ndarray, episodes: np.ndarray, step: int) -> np.ndarray:
    """A change that keeps the gripper, which is the last action, open."""
    opened = chunks.copy()
    opened[..., -1] = -1.0
    return opened


class Late:
    """A change that executes each chunk `rows` later; until then the robot stands still with open gripper.

    gripper: only the gripper, which is the last action, is late.
    """

    def __init__(self, rows: int, gripper: bool = False) -> None:
        self.rows, self.gripper = rows, gripper
        self.waiting: list[np.ndarray] = []

    def __call__(self, chunks: np.ndarray, episodes: np.ndarray, step: int) -> np.ndarray:
        if step == 0:
            still = never_closing(0 * chunks, episodes, step)
            self.waiting = [still] * self.rows
        self.waiting.append(chunks)
        late = self.waiting.pop(0)
        return np.concatenate([chunks[..., :-1], late[..., -1:]], -1) if self.gripper else late


def other_instruction(instructions: list[str]) -> list[str]:
    """Every episode is told what the next task of its world is, whichever episodes run beside it.

    Raises:
        ValueError: an instruction is no task's own.
    """
    return [_next_task(instruction) for instruction in instructions]


def _next_task(instruction: str) -> str:
    for tasks in (MT10, *WORLDS.values()):
        told = [wordings(task)[0] for task in tasks]
        if instruction in told:
            return told[(told.index(instruction) + 1) % len(told)]
    raise ValueError(f"{instruction!r} is no task's own instruction")
