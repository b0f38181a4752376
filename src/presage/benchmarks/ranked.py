"""Policies to rank: different in kind, and from excellent to useless, so that there is something to rank."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.control import behaviour_cloning
from presage.networks.robot import RobotModel
from presage.policy import make_policy, uses_of
from presage.policy.grounded import GroundedPolicy
from presage.policy.joint import joint
from presage.policy.replay import ReplayPolicy
from presage.policy.representation import load_head, representation
from presage.simulator.environment import DreamWorld
from presage.simulator.evaluation import (
    Change,
    Disturbed,
    Late,
    action_noise,
    aside,
    never_closing,
    other_instruction,
    slowed,
)
from presage.worlds import ExpertPolicy, RandomPolicy, RolloutResult, rollout
from presage.worlds.protocol import Policy
from presage.worlds.seeds import SEEDS_PER_BENCH_SEED

LATE, SLOW, ASIDE = 2, 0.35, 0.4
"""Rows that actions come late, share of the speed, and an offset by which an expert's hand rests 4 cm off"""
MISTAKES: dict[str, Change] = {
    "aside": aside(ASIDE),
    "late": Late(LATE),
    "slow": slowed(SLOW),
    "gripper_late": Late(LATE, gripper=True),
}


@dataclass(frozen=True)
class Ranked:
    """A policy among others that are to be ranked.

    blind: it needs what only the simulator knows, so what it did there is done again in the dream, without looking.
    trivial: random, still, or an offset at random on another: whoever tells it from the rest has shown little.
    """

    policy: Policy
    blind: bool = False
    trivial: bool = False

    def real(self, world: Any, tasks: Sequence[str], seeds: Sequence[int], max_steps: int) -> list[RolloutResult]:
        return rollout(self.policy, world, tasks, seeds, max_steps, record=self.blind)

    def imagined(self, dream: DreamWorld, real: Sequence[RolloutResult], max_steps: int) -> list[RolloutResult]:
        """The episodes of `real` in a dream."""
        policy = self.in_dreams(real, dream.num_envs)
        return rollout(policy, dream, [e.task for e in real], [e.seed for e in real], max_steps)

    def in_dreams(self, real: Sequence[RolloutResult], batch: int, dreams: int = 1) -> Policy:
        """What acts in so many dreams of each batch of the episodes of `real`, one dream after the other."""
        if not self.blind:
            return self.policy
        done = [episode.actions for episode in real if episode.actions is not None]
        parts = [done[i : i + batch] for i in range(0, len(done), batch)]
        return ReplayPolicy([each for part in parts for _ in range(dreams) for each in filled(part, batch)])


def filled(part: list[np.ndarray], batch: int) -> list[np.ndarray]:
    """As many as a batch has: the last one waits in the places that are left."""
    return part + part[-1:] * (batch - len(part))


def policies_to_rank(
    args: BenchArgs, model: RobotModel, world: Any, tasks: Sequence[str], seeds: Sequence[int], max_steps: int
) -> dict[str, Ranked]:
    """Uses of the model, cloning and a head; the model told something else, or behaving badly, or with actions that are
    displaced, late, slow or grip late; scripted experts, whole and with such mistakes, or acting for another episode;
    and the trivial ones: noise, random motion, none."""
    seed = args.seed
    ranked = {use: Ranked(make_policy(use, model, seed)) for use in uses_of(model)}
    cloned = behaviour_cloning(args)
    if cloned is not None:
        ranked["bc"] = Ranked(cloned)
    head = load_head(args.checkpoint, model)
    if head is not None:
        ranked["representation"] = Ranked(GroundedPolicy(model, representation(head), seed=seed))
    ranked["joint_other_instruction"] = Ranked(Disturbed(make_policy("joint", model, seed), instruct=other_instruction))
    ranked["joint_poor"] = Ranked(GroundedPolicy(model, joint, quality=0.0, seed=seed))
    ranked["expert"] = Ranked(ExpertPolicy(world), blind=True)
    for name, change in MISTAKES.items():
        ranked[f"joint_{name}"] = Ranked(Disturbed(make_policy("joint", model, seed), change))
        ranked[f"expert_{name}"] = Ranked(Disturbed(ExpertPolicy(world), change), blind=True)
    ranked["expert_open"] = Ranked(Disturbed(ExpertPolicy(world), never_closing), blind=True)
    elsewhere = ReplayPolicy(of_another_episode(world, tasks, seeds, max_steps))
    ranked["expert_elsewhere"] = Ranked(elsewhere, blind=True)

    for sigma in (1.0, 2.0):
        noisy = Disturbed(make_policy("joint", model, seed), action_noise(sigma, seed))
        ranked[f"joint_noise_{sigma}"] = Ranked(noisy, trivial=True)
    random = RandomPolicy((world.num_envs, *model.chunk_shape), seed)
    ranked["random"] = Ranked(random, trivial=True)
    still = Disturbed(random, change=lambda chunks, episodes, step: 0 * chunks)
    ranked["still"] = Ranked(still, trivial=True)
    return ranked


def of_another_episode(world: Any, tasks: Sequence[str], seeds: Sequence[int], max_steps: int) -> list[np.ndarray]:
    """For every episode, what the expert did in one of another seed, where object and goal were elsewhere."""
    elsewhere = [seed + SEEDS_PER_BENCH_SEED // 2 for seed in seeds]
    experts = rollout(ExpertPolicy(world), world, tasks, elsewhere, max_steps, record=True)
    return [episode.actions for episode in experts if episode.actions is not None]
