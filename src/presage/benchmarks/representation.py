"""Success of a small head on the video model's features, beside the same head on a network of random weights."""

from pathlib import Path
from typing import Any

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.episodes import max_steps, per_task, task_list, world_for
from presage.errors import UserError
from presage.policy.grounded import GroundedPolicy
from presage.policy.representation import HEAD, fit_heads, load_head, random_twin, representation
from presage.simulator.pairing import load_for
from presage.worlds import MT10, rollout

DATASET = Path("data/mt10")


def run(args: BenchArgs) -> dict[str, Any]:
    """`success_features` and `success_random_weights`. Heads that the checkpoint lacks are fitted first, and kept."""
    model = load_for(MT10, args.checkpoint, args.device)
    if load_head(args.checkpoint, model) is None or load_head(args.checkpoint, model, random=True) is None:
        if not DATASET.exists():
            raise UserError(f"{args.checkpoint / HEAD} is missing and there is no {DATASET} to fit it on: collect it")
        fit_heads(args.checkpoint, DATASET)
    tasks, seeds = task_list(args, episodes=5)
    world = world_for(model, len(tasks))
    figures: dict[str, Any] = {"episodes_per_task": tasks.count(tasks[0])}
    for name, random in (("success_features", False), ("success_random_weights", True)):
        head = load_head(args.checkpoint, model, random)
        assert head is not None
        seed = head.config.random_seed
        source = model if seed is None else random_twin(model, seed)
        policy = GroundedPolicy(source, representation(head), seed=args.seed)
        results = rollout(policy, world, tasks, seeds, max_steps(args))
        args.keep(name.removeprefix("success_"), results)
        figures |= per_task(name, results)
    world.close()
    return figures
