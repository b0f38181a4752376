"""Does imagination rank policies as the simulator does? At least eight policies that differ in method, data, noise or
instruction, each rolled from the same first frames in both."""

from typing import Any

from tqdm import tqdm

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.control import behaviour_cloning
from presage.benchmarks.episodes import max_steps, task_list, world_for
from presage.networks.robot import RobotModel
from presage.policy import USES, make_policy
from presage.policy.grounded import GroundedPolicy
from presage.policy.joint import joint
from presage.policy.representation import load_head, representation
from presage.simulator.environment import DreamWorld
from presage.simulator.evaluation import Disturbed, Judged, action_noise, agreement, judge, other_instruction
from presage.simulator.frames.scenes import scenes
from presage.simulator.frames.verdicts import dreamed_values, outcome_figures, putback
from presage.simulator.success import calibrate, checkpoint_threshold
from presage.systems.checkpoint import load_for
from presage.worlds import MT10, RandomPolicy
from presage.worlds.protocol import Policy

MAX_STEPS = 40
"""Fewer than for control: enough for whoever can do the task, and useless policies cost the full length, twice."""


def policies_to_rank(args: BenchArgs, model: RobotModel, world: Any) -> dict[str, Policy]:
    """Policies from excellent to useless, so that there is something to rank."""
    seed = args.seed
    policies: dict[str, Policy] = {use: make_policy(use, model, seed) for use in USES}
    cloned = behaviour_cloning(args)
    if cloned is not None:
        policies["bc"] = cloned
    head = load_head(args.checkpoint, model)
    if head is not None:
        policies["representation"] = GroundedPolicy(model, representation(head), seed=seed)
    for sigma in (1.0, 2.0):
        policies[f"joint_noise_{sigma}"] = Disturbed(make_policy("joint", model, seed), action_noise(sigma, seed))
    policies["joint_other_instruction"] = Disturbed(make_policy("joint", model, seed), instruct=other_instruction)
    policies["joint_poor"] = GroundedPolicy(model, joint, quality=0.0, seed=seed)
    random = RandomPolicy((world.num_envs, *model.chunk_shape), seed)
    policies["random"] = random
    policies["still"] = Disturbed(random, change=lambda chunks, episodes, step: 0 * chunks)
    return policies


def verdicts(args: BenchArgs, model: RobotModel, threshold: float) -> dict[str, float]:
    """What the judge says of real outcomes that it was not calibrated on: experts, disturbed ones, hands that miss and
    hands that do not close; and of real success with the object put back."""
    counts = {"expert": 2, "miss": 2} if args.quick else {"expert": 40, "miss": 27, "open": 12}
    steps, workers = (8, 0) if args.quick else (None, 2)
    shown = [scenes(kind, n, args.seed, steps=steps, workers=workers) for kind, n in counts.items()]
    values = [dreamed_values(model, each, args.seed) for each in shown]
    return outcome_figures(shown, values, threshold) | putback(model, shown[:1], threshold)


def run(args: BenchArgs) -> dict[str, Any]:
    """Agreement over policies with bootstrap intervals, and every policy's two success rates."""
    model = load_for(MT10, args.checkpoint, args.device)
    tasks, seeds = task_list(args, episodes=3)
    steps = min(max_steps(args), MAX_STEPS)
    world = world_for(model, len(tasks))
    names = list(dict.fromkeys(tasks))
    if args.quick:
        found = calibrate(model, world, names, episodes=1, max_steps=12)
    else:
        found = checkpoint_threshold(args.checkpoint, model, world, names)
    dream = DreamWorld(model, world, found.threshold, seed=args.seed)
    judged: dict[str, Judged] = {}
    bar = tqdm(policies_to_rank(args, model, world).items(), desc="evaluation", unit="policy")
    for name, policy in bar:
        bar.set_postfix_str(name)
        judged[name] = judge(policy, world, dream, tasks, seeds, steps)
        args.keep(name, judged[name].real)
        args.keep(name, judged[name].imagined, "imagined")
    world.close()

    agreed = agreement(judged)
    figures: dict[str, Any] = {"policies": len(judged), "episodes_per_policy": len(tasks)}
    for name, interval in (("pearson", agreed.pearson), ("spearman", agreed.spearman)):
        figures |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    figures["mmrv"] = agreed.mmrv
    figures["success_threshold"] = found.threshold
    figures["success_threshold_balanced_accuracy"] = found.balanced_accuracy
    figures |= verdicts(args, model, found.threshold)
    for name, j in judged.items():
        figures |= {f"real/{name}": j.real_success, f"imagined/{name}": j.imagined_success}
    return figures
