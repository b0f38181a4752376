"""Run a policy in a world, real or dreamed: the same call tells how good it is in either."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.policy.protocol import Policy


@dataclass(frozen=True)
class RolloutResult:
    """One episode. `steps` counts model steps (chunks) until success, or until the end.

    Recorded only on request: frames, camera -> (steps + 1, H, W, 3) uint8; states (steps + 1, S) float32; actions
    (steps, chunk, A) float32, clipped to [-1, 1], action t executed after frame t.
    """

    task: str
    seed: int
    success: bool
    steps: int
    instruction: str = ""
    frames: dict[str, np.ndarray] = field(default_factory=dict)
    states: np.ndarray | None = None
    actions: np.ndarray | None = None


class ExpertPolicy:
    """The scripted experts of a world as a policy, with Gaussian `noise` (standard deviation) on its actions."""

    def __init__(self, world: Any, noise: float = 0.0, seed: int = 0) -> None:
        self.world, self.noise = world, noise
        self.rng = np.random.default_rng(seed)

    def reset(self, instructions: list[str]) -> None:
        """The expert reads the state of the simulator, not the instruction."""

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        chunks = self.world.expert_chunk(observation.get("active"))
        return np.clip(chunks + self.noise * self.rng.standard_normal(chunks.shape), -1.0, 1.0).astype(np.float32)


class RandomPolicy:
    """Uniformly random chunks: the floor every success rate is to be compared with."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.shape = shape  # (N, chunk, A)
        self.rng = np.random.default_rng(seed)

    def reset(self, instructions: list[str]) -> None:
        """Nothing to forget."""

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return self.rng.uniform(-1.0, 1.0, self.shape).astype(np.float32)


def rollout(
    policy: Policy, world: Any, tasks: Sequence[str], seeds: Sequence[int], max_steps: int, record: bool = False
) -> list[RolloutResult]:
    """Run one episode for every (task, seed) pair of the two lists, `world.num_envs` of them in lock step.

    `world` is a vector environment with the observations and `info` keys of `vector.VectorWorld` (a dreamed one too).
    An episode ends with success or after `max_steps` model steps; it then waits, at no cost, for the others.
    """
    if len(tasks) != len(seeds):
        raise UserError(f"rollout: {len(tasks)} tasks for {len(seeds)} seeds; give one seed per task")
    results: list[RolloutResult] = []
    for start in range(0, len(tasks), world.num_envs):
        results += _batch(
            policy,
            world,
            list(tasks[start : start + world.num_envs]),
            list(seeds[start : start + world.num_envs]),
            max_steps,
            record,
        )
    return results


def _batch(
    policy: Policy, world: Any, tasks: list[str], seeds: list[int], max_steps: int, record: bool
) -> list[RolloutResult]:
    count, idle = len(tasks), world.num_envs - len(tasks)
    # The last batch may be short: the spare environments repeat its last episode but are never stepped.
    observation, info = world.reset(seed=seeds + seeds[-1:] * idle, options={"task": tasks + tasks[-1:] * idle})
    policy.reset(list(info["instruction"]))
    success = np.array(info["success"], bool)
    steps = np.zeros(world.num_envs, np.int64)
    active = (np.arange(world.num_envs) < count) & ~success
    observations: list[dict[str, np.ndarray]] = [observation]
    actions: list[np.ndarray] = []
    for _ in range(max_steps):
        if not active.any():
            break
        chunks = policy.act({**observation, "active": active})  # a policy may skip what has finished
        chunks = np.clip(np.asarray(chunks, np.float32), -1.0, 1.0)
        observation, _, _, _, info = world.step(chunks, active=active)
        steps += active
        success |= active & np.asarray(info["success"], bool)
        active = active & ~success
        if record:
            observations.append(observation)
            actions.append(chunks)
    results = []
    for i in range(count):
        recorded: dict[str, Any] = {}
        if record:
            rows = observations[: steps[i] + 1]
            recorded["frames"] = {
                key.removeprefix("image."): np.stack([row[key][i] for row in rows])
                for key in observation
                if key.startswith("image.")
            }
            recorded["states"] = np.stack([row["state"][i] for row in rows])
            recorded["actions"] = np.array([chunks[i] for chunks in actions[: steps[i]]], np.float32)
        results.append(
            RolloutResult(tasks[i], seeds[i], bool(success[i]), int(steps[i]), info["instruction"][i], **recorded)
        )
    return results
