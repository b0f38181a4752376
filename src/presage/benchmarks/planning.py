"""Does searching in imagination help? Best of N by imagination alone, beside no search, random choice among the same
candidates, the same judge shown the true future, and an oracle that ranks by the simulator's reward.

A policy that nearly always succeeds leaves nothing to gain. So what is searched is a perturbed policy: every candidate
is the model's own choice, shifted by an offset as large as `PERTURBATION`. Its future is imagined from its own actions,
and scored by what the model says of the frame at the end: no critic, and nobody who says what a good robot would do.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.episodes import max_steps, per_task, task_list, world_for
from presage.measures.statistics import bootstrap_mean
from presage.networks.robot import RobotModel
from presage.policy.grounded import CONTEXT, Decision, GroundedPolicy
from presage.policy.joint import joint
from presage.simulator.ceiling import Curve
from presage.simulator.frames.imagine import with_random_network
from presage.simulator.planners import BestOf, Score, planned, shifted
from presage.simulator.planning import CANDIDATES
from presage.simulator.scorers import blind, critic, value_at_end
from presage.simulator.true_future import Simulator, by_reward, by_true_value
from presage.systems.checkpoint import load_for
from presage.systems.perturbed import PERTURBATION
from presage.timeline.session import Session
from presage.worlds import MT10, RolloutResult, instructions, make_world, rollout

MAX_STEPS = 40
"""Fewer than for control: a decision costs several times as much as one without search."""
GAINS = {
    "gain_imagination": ("imagination", "base"),
    "gain_over_random": ("imagination", "random_choice"),
    "gain_true_future": ("true_future", "base"),
    "gain_oracle": ("oracle", "base"),
}
"""Figure -> (who, over whom)"""


def through(model: RobotModel, score: Score) -> Score:
    """A score of what another video model imagines of the same past."""
    return lambda session, candidates: score(session.through(model.backbone), candidates)


def search(model: RobotModel, score: Score, seed: int) -> GroundedPolicy:
    """Among candidates of the perturbed policy."""
    return GroundedPolicy(model, planned(BestOf(CANDIDATES), shifted(PERTURBATION), score), seed=seed)


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


def gain(who: Sequence[RolloutResult], over: Sequence[RolloutResult], name: str) -> dict[str, float]:
    """By how much the first succeeds more often in the same episodes, with its paired bounds."""
    difference = [float(mine.success) - float(theirs.success) for mine, theirs in zip(who, over, strict=True)]
    found = bootstrap_mean(difference)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def run(args: BenchArgs) -> dict[str, Any]:
    """Success on the same episodes, paired gains, the curve of `simulator/ceiling.py`, and what a decision costs.
    `base` executes the first candidate whatever it is; `own` is the model unperturbed."""
    model = load_for(MT10, args.checkpoint, args.device)
    tasks, seeds = task_list(args, episodes=20)
    steps, workers = (4, 0) if args.quick else (min(max_steps(args), MAX_STEPS), 2)
    world = world_for(model, len(tasks), workers)
    seeing = world_for(model, len(tasks), workers)
    plain = make_world("metaworld", tasks=MT10, num_envs=world.num_envs, cameras=(), workers=workers)

    acting: list[GroundedPolicy] = []
    true = Simulator(world, seeing, lambda: acting[-1].rows, looks=True)
    random = with_random_network(model, args.seed)
    curve = Curve({"imagination": value_at_end, "random_weights": through(random, value_at_end)}, true)
    scores: dict[str, Score] = {
        "base": curve,
        "random_choice": blind,
        "imagination": value_at_end,
        "true_future": by_true_value(true),
        "oracle": by_reward(Simulator(world, plain, lambda: acting[-1].rows)),
    }
    if model.critic is not None:
        scores["critic"] = critic
    policies = {name: search(model, score, args.seed) for name, score in scores.items()}
    policies["own"] = GroundedPolicy(model, joint, seed=args.seed)
    figures: dict[str, Any] = {
        "episodes_per_task": tasks.count(tasks[0]),
        "candidates": CANDIDATES,
        "spread": PERTURBATION,
    }
    results: dict[str, list[RolloutResult]] = {}
    bar = tqdm(policies.items(), desc="planning", unit="policy")
    for name, policy in bar:
        bar.set_postfix_str(name)
        acting.append(policy)
        results[name] = rollout(policy, world, tasks, seeds, steps)
        args.keep(name, results[name])
        figures |= per_task(f"success_{name}", results[name])
    for name, (who, over) in GAINS.items():
        figures |= gain(results[who], results[over], name)
    figures |= curve.figures()
    repeats = 3 if args.quick else 20
    with torch.inference_mode():
        searching = planned(BestOf(CANDIDATES), shifted(PERTURBATION), value_at_end)
        figures["seconds_per_decision"] = seconds_per_decision(model, searching, world, repeats)
        figures["seconds_per_decision_base"] = seconds_per_decision(model, joint, world, repeats)
    for each in (world, seeing, plain):
        each.close()
    return figures
