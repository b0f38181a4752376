"""When has a dream succeeded? Calibration of the threshold on predicted progress.

Episodes with known outcome are dreamed again from their first frame with the actions that were executed. The threshold
is the one that best separates the dreams of successes from the dreams of failures. It is calibrated in the dream, because
progress is read from imagined frames, which are not as sharp as real ones.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.networks.world_model import WorldModel
from presage.policy.protocol import Observation, Policy
from presage.timeline.session import Session
from presage.worlds.rollout import ExpertPolicy, RandomPolicy, RolloutResult, rollout

FIRST_SEED = 590_000
"""Calibration seeds start here: neither those of training (600000 and above) nor those of `--seed` 0 to 589."""
FILE = "success.json"


@dataclass(frozen=True)
class Threshold:
    """Progress above which an imagined frame shows success, and what it was calibrated on."""

    threshold: float
    balanced_accuracy: float
    """Mean of the shares of successes and of failures that the threshold gets right, on the calibration episodes."""
    successes: int
    failures: int


def record_outcomes(
    world: Any, tasks: Sequence[str], episodes: int, max_steps: int, noise: Sequence[float] = (0.0, 1.0, 2.0)
) -> list[RolloutResult]:
    """Episodes of good, disturbed and random behaviour with their outcome: `episodes` per task and behaviour."""
    results = []
    shape = (world.num_envs, world.chunk, *world.single_action_space.shape[1:])
    policies: list[Policy] = [ExpertPolicy(world, sigma, seed=i) for i, sigma in enumerate(noise)]
    for i, policy in enumerate([*policies, RandomPolicy(shape)]):
        seeds = [FIRST_SEED + i * 1000 + e for e in range(episodes) for _ in tasks]
        results += rollout(policy, world, list(tasks) * episodes, seeds, max_steps, record=True)
    return results


def dreamed_progress(model: WorldModel, episodes: Sequence[RolloutResult], steps: int = 0) -> np.ndarray:
    """Highest progress (N,) predicted in a dream of each recorded episode: its first frame, its actions."""
    session = Session(model, [e.instruction for e in episodes], float("nan"))
    session.observe(first_observation(episodes))
    best = np.zeros(len(episodes))
    config = model.config
    for t in range(max(e.steps for e in episodes)):
        chunk = np.zeros((len(episodes), config.chunk, config.action_dim), np.float32)
        going = np.array([t < e.steps for e in episodes])
        for row, episode in enumerate(episodes):
            if going[row] and episode.actions is not None:
                chunk[row] = episode.actions[t]
        progress = session.roll(chunk, steps).progress.cpu().numpy()
        best = np.where(going, np.maximum(best, progress), best)
    return best


def first_observation(episodes: Sequence[RolloutResult]) -> Observation:
    """What recorded episodes start from, as one batch."""
    images = {f"image.{c}": np.stack([e.frames[c][0] for e in episodes]) for c in episodes[0].frames}
    return {**images, "state": np.stack([e.states[0] for e in episodes if e.states is not None])}


def best_threshold(progress: np.ndarray, success: np.ndarray) -> Threshold:
    """The threshold on `progress` (N,) of highest balanced accuracy for `success` (N,) bool; the middle of a plateau.

    Raises:
        ValueError: there are no successes or no failures.
    """
    if success.all() or not success.any():
        raise ValueError("a threshold needs episodes of both outcomes")
    edges = np.unique(progress)
    candidates = np.concatenate([[edges[0] / 2], (edges[1:] + edges[:-1]) / 2, [(1 + edges[-1]) / 2]])
    above = progress[None] > candidates[:, None]
    accuracy = (above[:, success].mean(1) + 1 - above[:, ~success].mean(1)) / 2
    best = candidates[accuracy >= accuracy.max() - 1e-12]
    return Threshold(float(best[len(best) // 2]), float(accuracy.max()), int(success.sum()), int((~success).sum()))


def calibrate(model: WorldModel, world: Any, tasks: Sequence[str], episodes: int = 3, max_steps: int = 40) -> Threshold:
    """Record, dream again, and fit the threshold."""
    recorded = record_outcomes(world, tasks, episodes, max_steps)
    batches = [recorded[i : i + 60] for i in range(0, len(recorded), 60)]
    progress = np.concatenate([dreamed_progress(model, batch) for batch in batches])
    return best_threshold(progress, np.array([e.success for e in recorded]))


def save_threshold(folder: Path, threshold: Threshold) -> None:
    """Write `success.json` into a checkpoint folder."""
    temporary = folder / f"{FILE}.partial"
    try:
        temporary.write_text(json.dumps(asdict(threshold), indent=1))
        os.replace(temporary, folder / FILE)
    except OSError as error:
        raise UserError(f"cannot write {folder / FILE}: {error.strerror}; make the checkpoint writable") from None


def load_threshold(folder: Path) -> Threshold | None:
    """The threshold of a checkpoint, None if it was never calibrated.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return Threshold(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it, it will be calibrated again") from None


def checkpoint_threshold(folder: Path, model: WorldModel, world: Any, tasks: Sequence[str], episodes: int = 3) -> Threshold:
    """The threshold of a checkpoint; calibrated and kept beside it the first time."""
    found = load_threshold(folder)
    if found is None:
        found = calibrate(model, world, tasks, episodes)
        save_threshold(folder, found)
    return found
