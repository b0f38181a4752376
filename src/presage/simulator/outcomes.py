"""When has a dream that began in a recording succeeded? Recorded outcomes tell.

Episodes whose outcome is known are dreamed again from their first frame with the recorded actions. The threshold on the
predicted value is the one that best separates dreams of successes from dreams of failures (`success.py`). Its balanced
accuracy is that of episodes left out one at a time, since a few episodes are always separated well by their own
threshold.

Shapes: E episodes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from presage.errors import UserError
from presage.networks.base import step, value_of
from presage.networks.names import STATE
from presage.networks.robot import RobotModel
from presage.simulator.success import (
    Threshold,
    best_threshold,
    describe,
    dreamed_value,
    first_observation,
    load_threshold,
)
from presage.timeline.session import Session
from presage.worlds.protocol import Observation
from presage.worlds.recording import Recording
from presage.worlds.rollout import RolloutResult, episode_number

MOST = 200
"""Episodes that a threshold is calibrated on"""
LEAST = 2
"""Of either outcome: one that is left out must leave another"""
BATCH = 60


def known_outcomes(recording: Recording) -> list[int]:
    """Places of the episodes whose outcome is known and whose actions can be dreamed again: those of all rows but the
    last, since a dream that ends at a gap does not show what came of the episode."""
    return [
        e
        for e, told in enumerate(recording.success)
        if told is not None and len(recording.actions(e)) >= max(1, int(recording.length[e]) - 1)
    ]


def chosen_outcomes(recording: Recording, seed: int = 0) -> list[int]:
    """At most `MOST` of them. Either outcome keeps its share, and the rarer one `LEAST` episodes where it has them."""
    places = known_outcomes(recording)
    if len(places) <= MOST:
        return places
    drawn = np.random.default_rng(seed).permutation(places).tolist()
    good, bad = ([e for e in drawn if bool(recording.success[e]) is outcome] for outcome in (True, False))
    few, many = sorted((good, bad), key=len)
    kept = few[: max(LEAST, round(MOST * len(few) / len(places)))]
    return sorted(kept + many[: MOST - len(kept)])


def not_enough(recording: Recording) -> UserError:
    """Why what is known of a recording does not tell what a success is: outcomes are missing, or actions, or are
    alike."""
    root, told = recording.steps.root, sum(success is not None for success in recording.success)
    places = known_outcomes(recording)
    kind = "held-out episodes" if recording.held_out else "episodes"
    if not told:
        return UserError(
            f"{root}: no outcome is known of its {len(recording)} {kind}, so nothing tells when a dream has succeeded; "
            "label some (presage label), or record next.success"
        )
    if not recording.valid.any():
        return UserError(
            f"{root}: no 'action' was recorded in its {len(recording)} {kind}, so what came of them cannot be dreamed "
            "again, and nothing tells when a dream has succeeded; give recordings with actions"
        )
    gaps = told - len(places)
    but = f" ({gaps} more lack an 'action' before their last row)" if gaps else ""
    good = sum(bool(recording.success[e]) for e in places)
    return UserError(
        f"{root}: {good} successes and {len(places) - good} failures are known of its {kind}{but}; what a success in "
        f"the dream is takes at least {LEAST} of each: label more (presage label), or give other recordings"
    )


def recorded_episodes(recording: Recording, places: Sequence[int]) -> list[RolloutResult]:
    """Recorded episodes with their first frame and their actions; `seed` is the number in the dataset."""
    made = []
    for e in places:
        first = {camera: recording.frames(e)[:1, slot] for slot, camera in enumerate(recording.cameras)}
        state, actions = recording.state[recording.row(e, 0)][None], recording.actions(e)
        facts = (recording.task[e], recording.numbers[e], bool(recording.success[e]), len(actions))
        made.append(RolloutResult(*facts, recording.instruction[e], first, state, actions))
    return made


def dreamed_again(model: RobotModel, recording: Recording, places: Sequence[int]) -> np.ndarray:
    """(E,) the highest value in a dream of each episode: its first frame, its actions."""
    parts = [places[i : i + BATCH] for i in range(0, len(places), BATCH)]
    return np.concatenate([dreamed_value(model, recorded_episodes(recording, part)) for part in parts])


@torch.inference_mode()
def dream_recorded(
    model: RobotModel, recording: Recording, places: Sequence[int], seed: int = 0
) -> list[RolloutResult]:
    """Recorded episodes as they are dreamed from their first frame with their actions: frames, states and values of the
    dream. Its noise follows from `seed` and the episode alone."""
    episodes = recorded_episodes(recording, places)
    noise = [(seed, episode_number(e.task, e.seed)) for e in episodes]
    session = Session(model, [e.instruction for e in episodes], float("nan"), noise)
    seen = [first_observation(episodes)]
    session.observe(seen[0])
    value = [value_of(session).cpu().numpy()]
    for t in range(max(e.steps for e in episodes)):
        chunk = np.zeros((len(episodes), *model.chunk_shape), np.float32)
        for row, episode in enumerate(episodes):
            if t < episode.steps and episode.actions is not None:
                chunk[row] = episode.actions[t]
        block = step(session, chunk)
        frame = model.decode_images(block.values)
        state = model.decode_state(block.values[STATE]) if model.state_dim else seen[0]["state"]
        seen.append({**frame, "state": state})
        value.append(value_of(session).cpu().numpy())
    return [_dreamt(each, row, seen, value) for row, each in enumerate(episodes)]


def _dreamt(episode: RolloutResult, row: int, seen: list[Observation], value: list[np.ndarray]) -> RolloutResult:
    """A row of a batch of dreams, as long as its episode."""
    rows = slice(0, episode.steps + 1)
    frames = {c: np.stack([each[f"image.{c}"][row] for each in seen[rows]]) for c in episode.frames}
    states, values = (np.stack([each[row] for each in x[rows]]) for x in ([each["state"] for each in seen], value))
    return replace(episode, frames=frames, states=states, values=values)


def left_out_accuracy(value: np.ndarray, success: np.ndarray) -> float:
    """Balanced accuracy where each of the episodes (E,) is judged by the threshold of all others."""
    without = [best_threshold(np.delete(value, i), np.delete(success, i)).threshold for i in range(len(value))]
    right = (value > np.array(without)) == success
    return float((right[success].mean() + right[~success].mean()) / 2)


def calibrate_on(model: RobotModel, recording: Recording, seed: int = 0) -> Threshold:
    """Dream recorded episodes of known outcome again, at most `MOST`, and fit the threshold.

    Raises:
        UserError: too few outcomes are known, or they are alike, or actions are missing.
    """
    places = chosen_outcomes(recording, seed)
    success = np.array([bool(recording.success[e]) for e in places], bool)
    if min(success.sum(), (~success).sum()) < LEAST:
        raise not_enough(recording)
    value = dreamed_again(model, recording, places)
    accuracy = left_out_accuracy(value, success)
    tasks = tuple(dict.fromkeys(recording.task))
    return replace(best_threshold(value, success), balanced_accuracy=accuracy, tasks=tasks, episodes=len(places))


def recording_threshold(folder: Path, model: RobotModel, recording: Recording, seed: int = 0) -> float:
    """The threshold for dreams that begin in a recording: the checkpoint's own where it has one for these tasks, else
    calibrated on the recorded outcomes. It is not kept: the recording may grow.

    Raises:
        UserError: it can neither be found nor made.
    """
    tasks = list(dict.fromkeys(recording.task))
    found = load_threshold(folder, tasks)
    if found is not None:
        print(describe(found, tasks), flush=True)
        return found.threshold
    print("dreaming recorded episodes of known outcome again: when has a dream succeeded? ...", flush=True)
    made = calibrate_on(model, recording, seed)
    accuracy = f"balanced accuracy {made.balanced_accuracy:.2f} on episodes left out one at a time"
    of = f"{made.successes} recorded successes and {made.failures} failures"
    print(f"success in the dream: value above {made.threshold:.2f} ({accuracy}, of {of})", flush=True)
    if made.balanced_accuracy <= 0.5:
        print("the dream's value does not tell recorded successes from failures: imagined success says nothing here")
    return made.threshold
