"""Run a policy in a world, real or dreamed: the same call tells how good it is in either."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.worlds.protocol import Observation, Policy


@dataclass(frozen=True)
class RolloutResult:
    """One episode. `steps` counts model steps (chunks) until success, or until the end.

    Recorded only on request: frames, camera -> (steps + 1, H, W, 3) uint8; states (steps + 1, S) float32; actions
    (steps, chunk, A) float32, within what the world allows, action t executed after frame t; values (steps + 1,), what
    a dream predicted of each frame.
    """

    task: str
    seed: int
    success: bool
    steps: int
    instruction: str = ""
    frames: dict[str, np.ndarray] = field(default_factory=dict)
    states: np.ndarray | None = None
    actions: np.ndarray | None = None
    values: np.ndarray | None = None


class ExpertPolicy:
    """The scripted experts of a world as a policy, with Gaussian `noise` (standard deviation) on its actions."""

    def __init__(self, world: Any, noise: float = 0.0, seed: int = 0) -> None:
        self.world, self.noise, self.seed, self.step = world, noise, seed, 0

    def reset(self, instructions: list[str]) -> None:
        """The expert reads the state of the simulator, not the instruction."""
        self.step = 0

    def act(self, observation: Observation) -> np.ndarray:
        chunks = self.world.expert_chunk(observation.get("active"))
        rows = row_generators(self.seed, episodes_of(observation, len(chunks)), self.step)
        self.step += 1
        noise = np.stack([row.standard_normal(chunks.shape[1:]) for row in rows])
        return np.clip(chunks + self.noise * noise, -1.0, 1.0).astype(np.float32)


class RandomPolicy:
    """Uniformly random chunks: the floor every success rate is to be compared with.

    low, high: of each number, (chunk, A) or one for all.
    """

    def __init__(
        self, shape: tuple[int, ...], seed: int = 0, low: np.ndarray | float = -1.0, high: np.ndarray | float = 1.0
    ) -> None:
        self.shape, self.seed, self.step = shape, seed, 0  # (N, chunk, A)
        self.low, self.high = low, high

    def reset(self, instructions: list[str]) -> None:
        """Episodes begin."""
        self.step = 0

    def act(self, observation: Observation) -> np.ndarray:
        rows = row_generators(self.seed, episodes_of(observation, self.shape[0]), self.step)
        self.step += 1
        return np.stack([row.uniform(self.low, self.high, self.shape[1:]) for row in rows]).astype(np.float32)


def episode_number(task: str, seed: int) -> int:
    """What an episode's own random numbers follow from, the same in the simulator and in the dream."""
    return zlib.crc32(task.encode()) << 31 | seed % 2**31


def episodes_of(observation: Observation, count: int) -> np.ndarray:
    """(N,) the episode of each of `count` rows; its place in the batch where nothing is known of it."""
    return observation.get("episode", np.arange(count))


def row_generators(seed: int, episodes: np.ndarray, step: int) -> list[np.random.Generator]:
    """A generator for each row, which follows from (seed, episode, step): whatever else is in the batch, in whatever
    order episodes run, and in whichever world."""
    return [np.random.default_rng((seed, episode, step)) for episode in episodes.tolist()]


def rollout(
    policy: Policy, world: Any, tasks: Sequence[str], seeds: Sequence[int], max_steps: int, record: bool = False
) -> list[RolloutResult]:
    """Run one episode for every (task, seed) pair of the two lists, `world.num_envs` of them in lock step.

    `world` is a vector environment with the observations and `info` keys of `vector.VectorWorld` (a dreamed one too);
    actions are clipped to its bounds.
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
    seeds_of_all, tasks_of_all = seeds + seeds[-1:] * idle, tasks + tasks[-1:] * idle
    observation, info = world.reset(seed=seeds_of_all, options={"task": tasks_of_all})
    episode = np.array([episode_number(*each) for each in zip(tasks_of_all, seeds_of_all, strict=True)], np.int64)
    policy.reset(list(info["instruction"]))
    success = np.array(info["success"], bool)
    steps = np.zeros(world.num_envs, np.int64)
    active = (np.arange(world.num_envs) < count) & ~success
    bounds = world.single_action_space
    observations: list[dict[str, np.ndarray]] = [observation]
    actions: list[np.ndarray] = []
    values = [info["value"]] if "value" in info else []
    for _ in range(max_steps):
        if not active.any():
            break
        chunks = policy.act({**observation, "active": active, "episode": episode})  # finished ones may be skipped
        chunks = np.clip(np.asarray(chunks, np.float32), bounds.low, bounds.high)
        observation, _, _, _, info = world.step(chunks, active=active)
        steps += active
        success |= active & np.asarray(info["success"], bool)
        active = active & ~success
        if record:
            observations.append(observation)
            actions.append(chunks)
            values += [info["value"]] if values else []
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
            blind = np.zeros((world.num_envs, 0), np.float32)  # a robot without a state
            recorded["states"] = np.stack([row.get("state", blind)[i] for row in rows])
            done = np.array([chunks[i] for chunks in actions[: steps[i]]], np.float32)
            recorded["actions"] = done.reshape(-1, *bounds.shape)  # of an episode that was over at once too
            if values:
                recorded["values"] = np.array([row[i] for row in values[: steps[i] + 1]])
        results.append(
            RolloutResult(tasks[i], seeds[i], bool(success[i]), int(steps[i]), info["instruction"][i], **recorded)
        )
    return results
