"""Success of every way to act with the model, beside behaviour cloning (the same network, codec, data and steps,
trained on the expert's chunks alone), the bare base policy where a model has one, and the scripted expert, all
on the same episodes."""

import sys
from typing import Any

from tqdm import tqdm

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.episodes import max_steps, per_task, task_list, world_for
from presage.networks.world_model import WorldModel
from presage.policy import make_policy, uses_of
from presage.policy.base_policy import base_policy
from presage.policy.grounded import GroundedPolicy
from presage.systems.checkpoint import load_for
from presage.worlds import MT10, ExpertPolicy, rollout
from presage.worlds.protocol import Policy


def behaviour_cloning(args: BenchArgs) -> Policy | None:
    """The baseline, if it was trained: a checkpoint `bc` inside the model's folder or beside it."""
    for folder in (args.checkpoint / "bc", args.checkpoint.parent / "bc", args.checkpoint.parent / "bc" / "model"):
        if (folder / "config.json").exists():
            return make_policy("no_imagination", load_for(MT10, folder, args.device), args.seed)
    return None


def run(args: BenchArgs) -> dict[str, Any]:
    """Success rates with Wilson bounds, over all episodes and per task; `steps_*` is the mean length in model steps."""
    model = load_for(MT10, args.checkpoint, args.device)
    tasks, seeds = task_list(args, episodes=20)
    world = world_for(model, len(tasks))
    policies: dict[str, Policy] = {use: make_policy(use, model, args.seed) for use in uses_of(model)}
    cloned = behaviour_cloning(args)
    if cloned is not None:
        policies["bc"] = cloned
    else:
        print(f"no behaviour cloning checkpoint in {args.checkpoint / 'bc'}: success_bc is left out", file=sys.stderr)
    if isinstance(model, WorldModel):  # nothing stands beside a system's network
        policies["reader"] = GroundedPolicy(model, base_policy, seed=args.seed)
    policies["expert"] = ExpertPolicy(world)
    figures: dict[str, Any] = {"episodes_per_task": tasks.count(tasks[0]), "max_steps": max_steps(args)}
    bar = tqdm(policies.items(), desc="control", unit="policy")
    for name, policy in bar:
        bar.set_postfix_str(name)
        results = rollout(policy, world, tasks, seeds, max_steps(args))
        args.keep(name, results)
        figures |= per_task(f"success_{name}", results)
        figures[f"steps_{name}"] = sum(r.steps for r in results) / len(results)
    world.close()
    return figures
