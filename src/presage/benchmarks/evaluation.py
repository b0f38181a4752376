"""Does imagination rank policies as the simulator does? Fourteen or more that differ in kind (`ranked.py`), each rolled
from the same first frames in both. Trivial ones (random, still, noise) are easy to tell from the rest, so that
the agreement among the others is printed as well."""

from collections.abc import Collection, Mapping
from typing import Any

from tqdm import tqdm

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.episodes import max_steps, task_list, world_for
from presage.benchmarks.ranked import policies_to_rank
from presage.measures.statistics import Interval
from presage.networks.robot import RobotModel
from presage.simulator.environment import DreamWorld
from presage.simulator.evaluation import Judged, agreement
from presage.simulator.frames.imagine import with_random_network
from presage.simulator.frames.scenes import check_shape, scenes
from presage.simulator.frames.staging import setting_of
from presage.simulator.frames.verdicts import dreamed_values, outcome_figures, putback
from presage.simulator.success import calibrate, checkpoint_threshold
from presage.systems.checkpoint import load_for
from presage.worlds import MT10

MAX_STEPS = 40
"""Fewer than for control: enough for whoever can do the task, and useless policies cost the full length, twice."""


def verdicts(args: BenchArgs, model: RobotModel, threshold: float) -> dict[str, float]:
    """What the judge says of real outcomes that it was not calibrated on: experts, disturbed ones, hands that miss and
    hands that do not close; and of real success with the object put back."""
    counts = {"expert": 2, "miss": 2} if args.quick else {"expert": 40, "miss": 27, "open": 12}
    steps, workers = (8, 0) if args.quick else (None, 2)
    shown = [scenes(kind, n, args.seed, steps=steps, workers=workers) for kind, n in counts.items()]
    values = [dreamed_values(model, each, args.seed) for each in shown]
    return outcome_figures(shown, values, threshold) | putback(model, shown[:1], threshold)


def agreement_figures(judged: Mapping[str, Judged], close: Collection[str]) -> dict[str, float]:
    """Of all policies, and `..._close` of those that are named, each with its bounds."""
    figures: dict[str, float] = {}
    for suffix, group in (("", judged), ("_close", {name: judged[name] for name in close})):
        agreed = agreement(group)
        for name in ("pearson", "spearman", "mmrv", "kappa"):
            interval: Interval = getattr(agreed, name)
            figures |= {f"{name}{suffix}": interval.value}
            figures |= {f"{name}{suffix}_low": interval.low, f"{name}{suffix}_high": interval.high}
        figures[f"policies{suffix}"] = len(group)
    return figures


def run(args: BenchArgs) -> dict[str, Any]:
    """Agreement over policies with bootstrap intervals, and every policy's two success rates; `random_weights/...`, of
    dreams by the model of shuffled weights, on the first third of the episodes."""
    model = load_for(MT10, args.checkpoint, args.device)
    check_shape(model, setting_of("metaworld"), args.checkpoint)
    tasks, seeds = task_list(args, episodes=3)
    steps = 3 if args.quick else min(max_steps(args), MAX_STEPS)
    world = world_for(model, len(tasks), workers=0 if args.quick else 2)
    names = list(dict.fromkeys(tasks))
    if args.quick:
        found = calibrate(model, world, names, episodes=1, max_steps=12)
    else:
        found = checkpoint_threshold(args.checkpoint, model, world, names)
    dream = DreamWorld(model, world, found.threshold, seed=args.seed)
    control = DreamWorld(with_random_network(model, args.seed), world, found.threshold, seed=args.seed)
    few = max(len(names), len(tasks) // 3)
    judged: dict[str, Judged] = {}
    controlled: dict[str, Judged] = {}
    ranked = policies_to_rank(args, model, world, tasks, seeds, steps)
    bar = tqdm(ranked.items(), desc="evaluation", unit="policy")
    for name, one in bar:
        bar.set_postfix_str(name)
        real = one.real(world, tasks, seeds, steps)
        judged[name] = Judged(real, one.imagined(dream, real, steps)).without_frames()
        controlled[name] = Judged(real[:few], one.imagined(control, real[:few], steps)).without_frames()
        args.keep(name, judged[name].real)
        args.keep(name, judged[name].imagined, "imagined")
    world.close()

    close = [name for name, one in ranked.items() if not one.trivial]
    figures: dict[str, Any] = {"episodes_per_policy": len(tasks)} | agreement_figures(judged, close)
    figures["success_threshold"] = found.threshold
    figures["success_threshold_balanced_accuracy"] = found.balanced_accuracy
    figures |= verdicts(args, model, found.threshold)
    random = agreement_figures(controlled, close)
    figures["random_weights/episodes_per_policy"] = few
    for name in ("pearson", "pearson_close", "kappa"):
        figures |= {f"random_weights/{name}{bound}": random[f"{name}{bound}"] for bound in ("", "_low", "_high")}
    for name, j in judged.items():
        figures |= {f"real/{name}": j.real_success, f"imagined/{name}": j.imagined_success}
    return figures
