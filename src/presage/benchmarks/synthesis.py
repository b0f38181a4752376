"""Are labels executable? Inverse dynamics labels real videos of the expert and dreamed ones; the labels are replayed in
the simulator, without looking, from the frame the video starts with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.episodes import max_steps, task_list, world_for
from presage.networks.inverse import translate
from presage.networks.names import ACTION
from presage.networks.world_model import WorldModel
from presage.policy.replay import ReplayPolicy
from presage.results.tables import success_figures
from presage.simulator.pairing import load_for
from presage.simulator.success import calibrate, checkpoint_threshold, first_observation
from presage.simulator.synthesis import Video, dream, label, stack, tokens
from presage.timeline.session import Session
from presage.worlds import MT10, ExpertPolicy, RolloutResult, rollout


def as_video(result: RolloutResult) -> Video:
    """A recorded episode without its actions."""
    assert result.states is not None
    return Video(result.frames, result.states, np.zeros(result.steps + 1), result.instruction)


@torch.inference_mode()
def label_errors(model: WorldModel, episodes: Sequence[RolloutResult], steps: int = 1) -> dict[str, float]:
    """Mean squared error of one label (action tokens) given the true past and a future: the true one, that of another
    episode of the same task at the same step, or the present frame again."""
    videos = [as_video(e) for e in episodes]
    tasks = np.array([e.task for e in episodes])
    other = np.arange(len(episodes))
    for task in set(tasks):
        rows = np.flatnonzero(tasks == task)
        other[rows] = np.roll(rows, 1)
    session = Session(model, [v.instruction for v in videos], float("nan"))
    session.observe(stack(videos, 0))
    errors: dict[str, list[np.ndarray]] = {"true": [], "shuffled": [], "repeated": []}
    chunk = np.zeros((len(episodes), model.config.chunk, model.config.action_dim), np.float32)
    for t in range(max(v.steps for v in videos)):
        going = np.array([t < v.steps for v in videos])
        for row, episode in enumerate(episodes):
            if going[row] and episode.actions is not None:
                chunk[row] = episode.actions[t]
        truth = model.encode_action(chunk)
        future, present = tokens(model, stack(videos, t + 1)), tokens(model, stack(videos, t))
        shuffled = {name: x[torch.from_numpy(other)] for name, x in future.items()}
        for name, given in (("true", future), ("shuffled", shuffled), ("repeated", present)):
            error = (translate(session, given, steps) - truth).square().mean((1, 2)).cpu().numpy()
            counted = going & (other != np.arange(len(other))) if name == "shuffled" else going
            errors[name].append(error[counted])
        session.append({**future, ACTION: truth})
    return {name: float(np.concatenate(e).mean()) if len(e) else float("nan") for name, e in errors.items()}


def run(args: BenchArgs) -> dict[str, Any]:
    """`replay_ratio`, `shuffled_error_ratio` and `dream_success`, with their parts."""
    model = load_for(MT10, args.checkpoint, args.device)
    tasks, seeds = task_list(args, episodes=5)
    world = world_for(model, len(tasks))
    steps = max_steps(args)
    experts = rollout(ExpertPolicy(world), world, tasks, seeds, steps, record=True)

    labels = label(model, [as_video(e) for e in experts])
    replayed = rollout(ReplayPolicy(labels), world, tasks, seeds, steps)
    original = rollout(ReplayPolicy([e.actions for e in experts if e.actions is not None]), world, tasks, seeds, steps)
    figures: dict[str, Any] = {"episodes": len(tasks)}
    for name, results in (("original_success", original), ("replay_success", replayed)):
        args.keep({"original_success": "actions replayed", "replay_success": "labels replayed"}[name], results)
        figures |= success_figures(name, [r.success for r in results])
    figures["replay_ratio"] = figures["replay_success"] / max(figures["original_success"], 1e-9)

    errors = label_errors(model, experts)
    figures["shuffled_error_ratio"] = errors["shuffled"] / errors["true"]
    figures["repeated_error_ratio"] = errors["repeated"] / errors["true"]
    figures["label_error"] = errors["true"]

    names = list(dict.fromkeys(tasks))
    if args.quick:
        found = calibrate(model, world, names, episodes=1, max_steps=steps)
    else:
        found = checkpoint_threshold(args.checkpoint, model, world, names)
    instructions = [e.instruction for e in experts]
    videos = dream(model, first_observation(experts), instructions, found.threshold, max_steps=steps, seed=args.seed)
    results = rollout(ReplayPolicy(label(model, videos)), world, tasks, seeds, steps)
    args.keep("labels of dreams replayed", results)
    figures |= success_figures("dream_success", [r.success for r in results])
    figures["dream_predicted_success"] = float(np.mean([v.value.max() > found.threshold for v in videos]))
    world.close()
    return figures
