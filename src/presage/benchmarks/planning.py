"""Does searching in imagination help? Best of N, random choice among the same candidates, and an oracle that ranks them
in the simulator.

A policy that nearly always succeeds leaves nothing to gain. So what is searched is mostly a perturbed policy: every
chunk of the model's own choice is shifted by an offset as large as `PERTURBATION`, and planning picks among eight such
chunks. The same search around the model's unperturbed choice is measured too (`own`). Where the model has a critic,
how well imagined frames and critic rank alone is printed beside their sum.
"""

import time
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.episodes import max_steps, per_task, task_list, world_for
from presage.networks.robot import RobotModel
from presage.policy.grounded import CONTEXT, Decision, GroundedPolicy
from presage.policy.joint import joint
from presage.simulator.planning import (
    CANDIDATES,
    HORIZON,
    Candidates,
    Ranking,
    at_random,
    best_of,
    by_q,
    by_value,
)
from presage.systems.checkpoint import load_for
from presage.systems.perturbed import PERTURBATION, perturbed
from presage.timeline.session import Session
from presage.worlds import MT10, instructions, make_world, rollout

MAX_STEPS = 40
"""Fewer than for control: a decision costs several times as much as one without search."""


def in_simulator(world: Any, scratch: Any, rows: Any) -> Ranking:
    """The oracle: run every candidate in `scratch` from the state of `world`; the score is the simulator's own reward.

    `rows()` says which environments the candidates belong to.
    """

    def rank(candidates: Candidates) -> np.ndarray:
        batch, n, horizon = candidates.chunks.shape[:3]
        snapshots = world.snapshot(rows())
        scores = np.zeros((batch, n))
        chunks = np.zeros((scratch.num_envs, *candidates.chunks.shape[3:]), np.float32)
        active = np.arange(scratch.num_envs) < batch
        for i in range(n):
            scratch.restore(np.arange(batch), snapshots)
            for t in range(horizon):
                chunks[:batch] = candidates.chunks[:, i, t]
                _, reward, _, _, _ = scratch.step(chunks, active=active)
            scores[:, i] = reward[:batch]
        return scores

    return rank


def seconds_per_decision(model: RobotModel, decide: Decision, world: Any, repeats: int) -> float:
    """Median wall time of one decision for one robot, its past full."""
    observation, _ = world.reset(seed=0)
    session = Session(model, [instructions(MT10[0])[0]], context=CONTEXT)
    for _ in range(model.context):
        session.observe({name: x[:1] for name, x in observation.items()})
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        decide(session)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def run(args: BenchArgs) -> dict[str, Any]:
    """Success on the same episodes, and what a decision costs. `base` executes the first candidate whatever it is."""
    model = load_for(MT10, args.checkpoint, args.device)
    tasks, seeds = task_list(args, episodes=10)
    steps = min(max_steps(args), MAX_STEPS)
    world = world_for(model, len(tasks))
    scratch = make_world("metaworld", tasks=MT10, num_envs=world.num_envs, cameras=(), workers=2)

    search = partial(perturbed, model, seed=args.seed)
    oracle: GroundedPolicy = search(in_simulator(world, scratch, lambda: oracle.rows))
    planned = best_of()
    policies = {
        "base": search(n=1),
        "planned": search(),
        "random_choice": search(at_random(args.seed)),
        "oracle": oracle,
        "own": GroundedPolicy(model, joint, seed=args.seed),
        "own_planned": GroundedPolicy(model, planned, seed=args.seed),
    }
    if model.critic is not None:
        policies |= {"imagined_alone": search(by_value), "critic_alone": search(by_q)}
    figures: dict[str, Any] = {
        "episodes_per_task": tasks.count(tasks[0]),
        "candidates": CANDIDATES,
        "horizon": HORIZON,
        "spread": PERTURBATION,
    }
    bar = tqdm(policies.items(), desc="planning", unit="policy")
    for name, policy in bar:
        bar.set_postfix_str(name)
        results = rollout(policy, world, tasks, seeds, steps)
        args.keep(name, results)
        figures |= per_task(f"success_{name}", results)
    repeats = 3 if args.quick else 20
    figures["seconds_per_decision"] = seconds_per_decision(model, planned, world, repeats)
    figures["seconds_per_decision_base"] = seconds_per_decision(model, joint, world, repeats)
    scratch.close()
    world.close()
    return figures
