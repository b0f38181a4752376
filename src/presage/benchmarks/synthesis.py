"""Are labels executable? Inverse dynamics labels real videos of the expert and dreamed ones; the labels are replayed in
the simulator, without looking, from the frame the video starts with."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.episodes import max_steps, task_list, world_for
from presage.networks.executable import executable
from presage.networks.inverse import explain, translate, translate_pictures
from presage.networks.names import ACTION, STATE
from presage.networks.robot import RobotModel
from presage.policy.replay import ReplayPolicy
from presage.results.tables import success_figures
from presage.simulator.success import calibrate, checkpoint_threshold, first_observation
from presage.simulator.synthesis import Video, dream, label, stack, tokens
from presage.systems.checkpoint import load_for
from presage.timeline.session import Session
from presage.worlds import MT10, ExpertPolicy, RolloutResult, rollout


def as_video(result: RolloutResult) -> Video:
    """A recorded episode without its actions."""
    assert result.states is not None
    return Video(result.frames, result.states, np.zeros(result.steps + 1), result.instruction)


def replayed(
    args: BenchArgs, world: Any, tasks: list[str], seeds: list[int], played: Mapping[str, list[np.ndarray]]
) -> dict[str, Any]:
    """Success of chunks (T, chunk, A) of each episode, by name, that are executed without looking."""
    figures: dict[str, Any] = {}
    for name, chunks in played.items():
        results = rollout(ReplayPolicy(chunks), world, tasks, seeds, max_steps(args))
        args.keep(name.replace("_", " "), results)
        figures |= success_figures(name, [r.success for r in results])
    return figures


UNKNOWN = 3.0
"""Standard deviation, in half ranges, of an action of which nothing but the state it leads to is known"""


def frozen(video: Video, pictures: bool) -> Video:
    """A video whose states, and maybe pictures, stay those of its first frame."""
    frames = {c: np.repeat(x[:1], len(x), 0) for c, x in video.frames.items()} if pictures else video.frames
    return replace(video, frames=frames, states=np.repeat(video.states[:1], len(video.states), 0))


def kinematic_labels(model: RobotModel, videos: Sequence[Video], iterations: int = 4) -> list[np.ndarray] | None:
    """The control without any picture: one action for the whole chunk that leads from state to state, by Newton's steps
    on the robot's own dynamics (`networks.inverse.explain`, with nothing but the state to go by). None where the model
    has no dynamics of the state: no action would be moved from 0."""
    session = Session(model, [v.instruction for v in videos], float("nan"))
    session.observe(stack([frozen(v, pictures=True) for v in videos], 0))
    if session.last.carried is None:
        return None
    chunks = []
    for t in range(max(v.steps for v in videos)):
        future = tokens(model, stack([frozen(v, pictures=True) for v in videos], 0))
        future[STATE] = model.encode_state(stack(videos, t + 1)["state"])
        action = torch.zeros(len(videos), 1, model.chunk_shape[0] * model.chunk_shape[1], device=model.device)
        for _ in range(iterations):
            action = explain(session, action, future, offset_error=UNKNOWN).clamp(-1, 1)
        chunk = executable(model, action)
        session.append({**future, ACTION: model.encode_action(chunk)})
        chunks.append(chunk)
    return [np.stack([c[row] for c in chunks[: v.steps]]) for row, v in enumerate(videos)]


@torch.inference_mode()
def label_errors(
    model: RobotModel, episodes: Sequence[RolloutResult], steps: int = 1, states: bool = True
) -> dict[str, float]:
    """Mean squared error of one label (action tokens) given the true past and a future: the true one, that of another
    episode of the same task at the same step, or the present frame again. Without `states`, pictures are all that is
    given of it."""
    videos = [as_video(e) for e in episodes]
    tasks = np.array([e.task for e in episodes])
    other = np.arange(len(episodes))
    for task in set(tasks):
        rows = np.flatnonzero(tasks == task)
        other[rows] = np.roll(rows, 1)
    session = Session(model, [v.instruction for v in videos], float("nan"))
    session.observe(stack(videos, 0))
    errors: dict[str, list[np.ndarray]] = {"true": [], "shuffled": [], "repeated": []}
    chunk = np.zeros((len(episodes), *model.chunk_shape), np.float32)
    for t in range(max(v.steps for v in videos)):
        going = np.array([t < v.steps for v in videos])
        for row, episode in enumerate(episodes):
            if going[row] and episode.actions is not None:
                chunk[row] = episode.actions[t]
        truth = model.encode_action(chunk)
        future, present = tokens(model, stack(videos, t + 1)), tokens(model, stack(videos, t))
        shuffled = {name: x[torch.from_numpy(other)] for name, x in future.items()}
        for name, given in (("true", future), ("shuffled", shuffled), ("repeated", present)):
            pictures = {s: x for s, x in given.items() if s != STATE}
            told = translate(session, given, steps) if states else translate_pictures(session, pictures, steps)[ACTION]
            error = (told - truth).square().mean((1, 2)).cpu().numpy()
            counted = going & (other != np.arange(len(other))) if name == "shuffled" else going
            errors[name].append(error[counted])
        session.append({**future, ACTION: truth})
    return {name: float(np.concatenate(e).mean()) if len(e) else float("nan") for name, e in errors.items()}


def from_video(
    args: BenchArgs,
    model: RobotModel,
    world: Any,
    experts: Sequence[RolloutResult],
    tasks: list[str],
    seeds: list[int],
) -> dict[str, Any]:
    """Labels of pictures alone, replayed: `video_replay_success`; of pictures that stand still, `frozen_video_success`;
    and of states without any picture, `kinematics_success`, which is left out where the model has no dynamics of the
    state. `video_shuffled_ratio`: how much the error of a label grows when another episode's pictures are given."""
    videos = [as_video(e) for e in experts]
    labels = {
        "video_replay_success": label(model, videos, states=False),
        "frozen_video_success": label(model, [frozen(v, pictures=True) for v in videos], states=False),
    }
    by_state = kinematic_labels(model, videos)
    if by_state is None:
        print("the model has no dynamics of the state: kinematics_success is left out", file=sys.stderr)
    else:
        labels["kinematics_success"] = by_state
    figures = replayed(args, world, tasks, seeds, labels)
    errors = label_errors(model, experts, states=False)
    return figures | {"video_shuffled_ratio": errors["shuffled"] / errors["true"]}


def run(args: BenchArgs) -> dict[str, Any]:
    """`replay_ratio`, `shuffled_error_ratio` and `dream_success`, with their parts."""
    model = load_for(MT10, args.checkpoint, args.device)
    tasks, seeds = task_list(args, episodes=5)
    world = world_for(model, len(tasks))
    steps = max_steps(args)
    experts = rollout(ExpertPolicy(world), world, tasks, seeds, steps, record=True)

    labels = label(model, [as_video(e) for e in experts], states=True)
    replayed = rollout(ReplayPolicy(labels), world, tasks, seeds, steps)
    original = rollout(ReplayPolicy([e.actions for e in experts if e.actions is not None]), world, tasks, seeds, steps)
    figures: dict[str, Any] = {"episodes": len(tasks)}
    for name, results in (("original_success", original), ("replay_success", replayed)):
        args.keep({"original_success": "actions replayed", "replay_success": "labels replayed"}[name], results)
        figures |= success_figures(name, [r.success for r in results])
    original_success = max(figures["original_success"], 1e-9)
    figures["replay_ratio"] = figures["replay_success"] / original_success

    figures |= from_video(args, model, world, experts, tasks, seeds)
    figures["video_replay_ratio"] = figures["video_replay_success"] / original_success
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
