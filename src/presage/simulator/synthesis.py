"""Synthesis: dream episodes, label their video with actions, keep them as a dataset.

From a real first frame and an instruction the model dreams video and the value of each frame; inverse dynamics then
reads the actions from the finished video alone, as it would from a person's (Jang et al. 2025, DreamGen, sections 2.2
and 2.3). What the dream thought it was doing is not used: a label has to explain what is seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from presage.episodes.choose import UNEXPLAINED
from presage.episodes.episode import Episode
from presage.episodes.spool import as_key, begun_alike, read_facts, spool_episode, spooled_keys
from presage.episodes.writer import write_dataset
from presage.errors import UserError
from presage.measures.video import frame_errors
from presage.networks.base import step, value_of
from presage.networks.executable import executable
from presage.networks.inverse import explain, translate, translate_pictures
from presage.networks.names import ACTION, STATE
from presage.networks.robot import RobotModel
from presage.timeline.levels import Schedule
from presage.timeline.noise import Seed
from presage.timeline.session import Session
from presage.timeline.streams import Values
from presage.worlds.protocol import Observation
from presage.worlds.rollout import episode_number

ROWS_AFTER_SUCCESS = 2


@dataclass(frozen=True)
class Video:
    """What was seen in one episode of T + 1 frames; actions unknown."""

    frames: dict[str, np.ndarray]
    """camera -> (T + 1, S, S, 3) uint8"""
    states: np.ndarray
    """(T + 1, S) float32, no columns where the robot has no proprioception"""
    value: np.ndarray
    """(T + 1,) predicted"""
    instruction: str

    @property
    def steps(self) -> int:
        return len(self.value) - 1

    def observation(self, t: int) -> Observation:
        """Frame and state at `t`; the last ones from the end on."""
        t = min(t, self.steps)
        return {**{f"image.{c}": x[t] for c, x in self.frames.items()}, "state": self.states[t]}


def stack(videos: Sequence[Video], t: int) -> Observation:
    """The observations of all videos at `t`, as one batch."""
    rows = [video.observation(t) for video in videos]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def dream(
    model: RobotModel,
    first: Observation,
    instructions: list[str],
    threshold: float,
    max_steps: int = 40,
    steps: int = 2,
    seed: int | Sequence[Seed] = 0,
) -> list[Video]:
    """Dream one episode per row of `first`, by joint generation, until shortly after predicted success or `max_steps`.
    `seed` is that of a `Session`: given one for each row, an episode does not depend on those dreamed beside it."""
    session = Session(model, instructions, seed=seed)
    session.observe(first)
    seen: list[Observation] = [first]
    value = [value_of(session).cpu().numpy()]
    end = np.full(len(instructions), max_steps)
    while len(seen) <= end.max():
        imagined = session.imagine(Schedule.joint(steps)).values
        session.append(imagined, imagined=True)
        frame = model.decode_images(imagined)
        if model.state_dim:
            frame["state"] = model.decode_state(imagined[STATE])
        seen.append(frame)
        value.append(value_of(session).cpu().numpy())
        done = (value[-1] > threshold) & (end == max_steps)
        end[done] = np.minimum(max_steps, len(seen) - 1 + ROWS_AFTER_SUCCESS)
    videos = []
    for row, last in enumerate(end):
        rows = seen[: last + 1]
        frames = {c: np.stack([f[f"image.{c}"][row] for f in rows]) for c in model.cameras}
        states = np.stack([f["state"][row] for f in rows]) if model.state_dim else np.zeros((len(rows), 0))
        done_so_far = np.array([p[row] for p in value[: last + 1]])
        videos.append(Video(frames, states.astype(np.float32), done_so_far, instructions[row]))
    return videos


def label(
    model: RobotModel,
    videos: Sequence[Video],
    steps: int = 1,
    seed: int | Sequence[Seed] = 0,
    states: bool | None = None,
) -> list[np.ndarray]:
    """Inverse dynamics: the chunks (T, chunk, A) that lead through each video, in `steps` denoising steps.

    Past labels are the past actions of the next one: nothing but the video is given. Without `states`, nothing but its
    pictures, after the first frame: the robot's own state is imagined with the action. By default with states where
    the model has dynamics of them; others have learned to read actions from pictures alone.
    """
    states = model.base is not None if states is None else states
    session = Session(model, [v.instruction for v in videos], float("nan"), seed)
    session.observe(stack(videos, 0))
    chunks = []
    for t in range(max(v.steps for v in videos)):
        if states:
            future = tokens(model, stack(videos, t + 1))
            action = explain(session, translate(session, future, steps), future)
        else:
            found = translate_pictures(session, model.encode_images(stack(videos, t + 1)), steps)
            future, action = found, found[ACTION]
        chunk = executable(model, action)
        session.append({**future, ACTION: model.encode_action(chunk)})
        chunks.append(chunk)
    return [np.stack([c[row] for c in chunks[: v.steps]]) for row, v in enumerate(videos)]


def unexplained(
    model: RobotModel, videos: Sequence[Video], labels: Sequence[np.ndarray], seed: int | Sequence[Seed] = 0
) -> np.ndarray:
    """(E,) the share of each video's motion that its labels (T, chunk, A) do not bring back: squared error of the
    pictures that they lead to from its first frame, by forward dynamics, over that of the first frame repeated.

    0: they explain all of it; 1 or more: nothing, as where nothing moves. An object that slides by itself or an arm
    that jumps teaches a policy what is not so, and no actions bring it back.
    """
    session = Session(model, [v.instruction for v in videos], float("nan"), seed)
    first = stack(videos, 0)
    session.observe(first)
    missed, moved = np.zeros((2, len(videos)))
    for t in range(max(v.steps for v in videos)):
        chunk = np.stack([chunks[min(t, len(chunks) - 1)] for chunks in labels])
        led_to, shown = model.decode_images(step(session, chunk).values), stack(videos, t + 1)
        going = np.array([t < v.steps for v in videos])
        for camera in (f"image.{c}" for c in model.cameras):
            missed += going * frame_errors(led_to[camera], shown[camera])
            moved += going * frame_errors(first[camera], shown[camera])
    return np.divide(missed, moved, out=np.ones(len(videos)), where=moved > 0)


def tokens(model: RobotModel, observation: Observation) -> Values:
    """Frames and states as tokens of one block."""
    values = model.encode_images(observation)
    if model.state_dim:
        values[STATE] = model.encode_state(observation["state"])
    return values


def succeeded(video: Video, threshold: float) -> np.ndarray:
    """(T + 1,) bool: whether the dream has shown success by each frame."""
    reached: np.ndarray = np.maximum.accumulate(video.value > threshold)
    return reached


class Form(Protocol):
    """How dreams are stored."""

    @property
    def fps(self) -> float: ...
    @property
    def robot_type(self) -> str | None: ...
    @property
    def names(self) -> Mapping[str, Any]:
        """Of the numbers of a feature, as in info.json"""
        ...

    def episode(self, video: Video, chunks: np.ndarray, threshold: float, info: dict[str, Any]) -> Episode:
        """A video with its labels (T, chunk, A)."""
        ...


@dataclass(frozen=True)
class InSteps:
    """As rows that are model steps and hold a chunk each, like what `presage collect` records."""

    fps: float
    robot_type: str | None
    names: Mapping[str, Any] = field(default_factory=dict)

    def episode(self, video: Video, chunks: np.ndarray, threshold: float, info: dict[str, Any]) -> Episode:
        return as_episode(video, chunks, threshold, info)


def as_episode(video: Video, chunks: np.ndarray, threshold: float, info: dict[str, Any]) -> Episode:
    """A labelled video as an episode to store. Quality says whether the dream got there: 1, else 0."""
    success = succeeded(video, threshold)
    action = np.zeros((video.steps + 1, chunks[0].size), np.float32)  # nothing is executed after the last frame
    action[:-1] = chunks.reshape(video.steps, -1)
    columns = {
        "action": action,
        "action.valid": np.arange(video.steps + 1) < video.steps,
        "quality": np.full(video.steps + 1, float(success[-1]), np.float32),
        "next.success": np.append(success[1:], success[-1]),
        "value": video.value.astype(np.float32),
    }
    if video.states.shape[1]:
        columns["observation.state"] = video.states
    return Episode(video.frames, columns, video.instruction, {**info, "success": bool(success[-1])})


def synthesize(
    model: RobotModel,
    world: Any,
    starts: Sequence[tuple[str, int, str]],
    root: Path,
    threshold: float,
    max_steps: int = 40,
    steps: int = 2,
    seed: int = 0,
    form: Form | None = None,
    made_of: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, float]:
    """Dream one episode per (task, world seed, instruction) and write them as the dataset `root`.

    The first frame is that of `world` after `reset`; the instruction may differ from the task's. A killed call
    continues where it was when it is repeated: every dream depends on its start and `seed` alone. Rows are of `form`,
    by default model steps. made_of: what else dreams depend on, such as the model's weights; a call that goes on has
    to say the same.

    Returns episodes, rows, the share of dreams that reached predicted success, and how much of their motion their
    labels do not bring back, on average.

    Raises:
        UserError: `root` exists, or its spool holds episodes of a call that differs.
    """
    if root.exists():
        raise UserError(f"{root}: exists already; choose another folder or remove it")
    spool = root.with_name(root.name + ".partial")
    keys = [f"{i:06d}-{as_key(task)}-{world_seed}" for i, (task, world_seed, _) in enumerate(starts)]
    done = spooled_keys(spool)
    if done - set(keys):
        raise UserError(
            f"{spool}: holds episodes of another call ({min(done - set(keys))}); remove it or repeat that call"
        )
    if not begun_alike(spool, {**made_of, "threshold": threshold, "max_steps": max_steps, "seed": seed}):
        raise UserError(f"{spool}: does not say what its episodes were made of; remove it or choose another folder")
    for key, (_, _, text) in zip(keys, starts, strict=True):
        if key in done and (said := read_facts(spool, key)["instruction"]) != text:
            raise UserError(f"{spool}: {key} was asked to {said!r}, now to {text!r}; remove it or repeat that call")
    n, form = world.num_envs, form or InSteps(model.fps, world.robot)
    for i in tqdm(range(0, len(starts), n), desc=f"dream {root.name}", unit="batch"):
        part = list(range(i, min(i + n, len(starts))))
        if all(keys[j] in done for j in part):
            continue
        padded = part + part[-1:] * (n - len(part))
        options = {"task": [starts[j][0] for j in padded]}
        first, _ = world.reset(seed=[starts[j][1] for j in padded], options=options)
        first = {name: x[: len(part)] for name, x in first.items()}
        seeds = [(seed, episode_number(starts[j][0], starts[j][1])) for j in part]
        videos = dream(model, first, [starts[j][2] for j in part], threshold, max_steps, steps, seeds)
        labelled = label(model, videos, seed=seeds)
        missed = unexplained(model, videos, labelled, seeds)
        for j, video, chunks, share in zip(part, videos, labelled, missed, strict=True):
            info = {"task": starts[j][0], "seed": starts[j][1], "behaviour": "dream", UNEXPLAINED: float(share)}
            spool_episode(spool, keys[j], form.episode(video, chunks, threshold, info), form.fps)
    write_dataset(spool, root, fps=form.fps, robot_type=form.robot_type, names=form.names)
    from presage.episodes.dataset import Dataset

    written = Dataset(root)
    told = [e.info for e in written.episodes]
    return {
        "episodes": len(told),
        "rows": written.num_rows,
        "predicted_success": float(np.mean([bool(info["success"]) for info in told])),
        UNEXPLAINED: float(np.mean([float(info[UNEXPLAINED]) for info in told])),
    }
