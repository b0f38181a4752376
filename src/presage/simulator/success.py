"""When has a dream succeeded? Calibration of the threshold on the predicted value.

Episodes with known outcome are dreamed again from their first frame with the actions that were executed. The threshold
is the one that best separates the dreams of successes from the dreams of failures. It is calibrated in the dream,
because the value is read from imagined frames, which are not as sharp as real ones.

A threshold belongs to the weights and tasks it was calibrated on, and is used for those (or some of those tasks) alone.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

import presage
from presage.errors import UserError
from presage.networks.base import step, value_of
from presage.networks.robot import RobotModel
from presage.timeline.session import Session
from presage.training.checkpoint import weights_hash
from presage.worlds.protocol import Observation, Policy
from presage.worlds.rollout import ExpertPolicy, RandomPolicy, RolloutResult, rollout
from presage.worlds.seeds import FIRST_CALIBRATION_SEED

FILE = "success.json"


@dataclass(frozen=True)
class Threshold:
    """The value above which an imagined frame shows success, and what it was calibrated on."""

    threshold: float
    balanced_accuracy: float
    """Mean of the shares of successes and of failures that the threshold gets right, on the calibration episodes."""
    successes: int
    failures: int
    tasks: tuple[str, ...] = ()
    episodes: int = 0
    """Per task and behaviour."""
    first_seed: int = FIRST_CALIBRATION_SEED
    weights: str = ""
    """`weights_hash` of the checkpoint; empty where the model came from none."""

    def fits(self, weights: str, tasks: Sequence[str]) -> bool:
        return self.weights == weights and set(tasks) <= set(self.tasks)


def record_outcomes(
    world: Any, tasks: Sequence[str], episodes: int, max_steps: int, noise: Sequence[float] = (0.0, 1.0, 2.0)
) -> list[RolloutResult]:
    """Episodes of good, disturbed and random behaviour with their outcome: `episodes` per task and behaviour."""
    results = []
    shape = (world.num_envs, world.chunk, *world.single_action_space.shape[1:])
    policies: list[Policy] = [ExpertPolicy(world, sigma, seed=i) for i, sigma in enumerate(noise)]
    for i, policy in enumerate([*policies, RandomPolicy(shape)]):
        seeds = [FIRST_CALIBRATION_SEED + i * 1000 + e for e in range(episodes) for _ in tasks]
        results += rollout(policy, world, list(tasks) * episodes, seeds, max_steps, record=True)
    return results


def dreamed_value(model: RobotModel, episodes: Sequence[RolloutResult], steps: int | None = None) -> np.ndarray:
    """The highest value (N,) predicted in a dream of each recorded episode: its first frame, its actions."""
    session = Session(model, [e.instruction for e in episodes], float("nan"))
    session.observe(first_observation(episodes))
    best = np.zeros(len(episodes))
    for t in range(max(e.steps for e in episodes)):
        chunk = np.zeros((len(episodes), *model.chunk_shape), np.float32)
        going = np.array([t < e.steps for e in episodes])
        for row, episode in enumerate(episodes):
            if going[row] and episode.actions is not None:
                chunk[row] = episode.actions[t]
        step(session, chunk, steps)
        best = np.where(going, np.maximum(best, value_of(session).cpu().numpy()), best)
    return best


def first_observation(episodes: Sequence[RolloutResult]) -> Observation:
    """What recorded episodes start from, as one batch."""
    images = {f"image.{c}": np.stack([e.frames[c][0] for e in episodes]) for c in episodes[0].frames}
    return {**images, "state": np.stack([e.states[0] for e in episodes if e.states is not None])}


def best_threshold(value: np.ndarray, success: np.ndarray) -> Threshold:
    """The threshold on `value` (N,) of highest balanced accuracy for `success` (N,) bool; the middle of a plateau.

    Raises:
        ValueError: there are no successes or no failures.
    """
    if success.all() or not success.any():
        raise ValueError("a threshold needs episodes of both outcomes")
    edges = np.unique(value)
    candidates = np.concatenate([[edges[0] / 2], (edges[1:] + edges[:-1]) / 2, [(1 + edges[-1]) / 2]])
    above = value[None] > candidates[:, None]
    accuracy = (above[:, success].mean(1) + 1 - above[:, ~success].mean(1)) / 2
    best = candidates[accuracy >= accuracy.max() - 1e-12]
    return Threshold(float(best[len(best) // 2]), float(accuracy.max()), int(success.sum()), int((~success).sum()))


def calibrate(model: RobotModel, world: Any, tasks: Sequence[str], episodes: int = 3, max_steps: int = 40) -> Threshold:
    """Record, dream again, and fit the threshold.

    Raises:
        UserError: all episodes of these tasks ended alike.
    """
    recorded = record_outcomes(world, tasks, episodes, max_steps)
    success = np.array([e.success for e in recorded])
    if success.all() or not success.any():
        alike = "succeed" if success.all() else "fail"
        raise UserError(
            f"the expert and random motion both {alike} in {', '.join(tasks)}: no threshold can be calibrated"
        )
    batches = [recorded[i : i + 60] for i in range(0, len(recorded), 60)]
    value = np.concatenate([dreamed_value(model, batch) for batch in batches])
    return replace(best_threshold(value, success), tasks=tuple(tasks), episodes=episodes)


def save_threshold(path: Path, threshold: Threshold) -> None:
    """Write a threshold; an existing one is replaced only once the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    temporary.write_text(json.dumps(asdict(threshold), indent=1))
    os.replace(temporary, path)


def load_threshold(folder: Path, tasks: Sequence[str]) -> Threshold | None:
    """The threshold that was calibrated on a checkpoint's weights as they are and on `tasks`, maybe with others; None
    where there is none.

    Raises:
        UserError: a file is damaged, or `folder` is no checkpoint.
    """
    weights = weights_hash(folder)
    found = [_read(path) for path in (folder / FILE, _cached(weights, tasks))]
    return next((one for one in found if one is not None and one.fits(weights, tasks)), None)


def checkpoint_threshold(
    folder: Path, model: RobotModel, world: Any, tasks: Sequence[str], episodes: int = 3
) -> Threshold:
    """The threshold of a checkpoint for `tasks`; calibrated and kept the first time.

    Raises:
        UserError: it can neither be found nor made.
    """
    found = load_threshold(folder, tasks)
    if found is None:
        print(f"no success threshold for these weights and {', '.join(tasks)}: calibrating one", flush=True)
        found = replace(calibrate(model, world, tasks, episodes), weights=weights_hash(folder))
        print(f"kept in {_keep(folder, found)}", flush=True)
    print(describe(found, tasks), flush=True)
    return found


def describe(found: Threshold, tasks: Sequence[str]) -> str:
    """What a person should know of the threshold that `tasks` are judged by."""
    others = len(set(found.tasks) - set(tasks))
    among = f", of which {others} not asked for here" if others else ""
    on = f"{len(found.tasks)} task{'s' * (len(found.tasks) > 1)}{among}"
    accuracy = f"balanced accuracy {found.balanced_accuracy:.2f}"
    return f"success in the dream: value above {found.threshold:.2f} ({accuracy}, calibrated on {on})"


def _read(path: Path) -> Threshold | None:
    """None where there is no file, or one that does not say what it was calibrated on."""
    try:
        content = json.loads(path.read_text())
        names = {field.name for field in fields(Threshold)}
        return Threshold(**{**content, "tasks": tuple(content["tasks"])}) if names == set(content) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it, it will be calibrated again") from None


def _cached(weights: str, tasks: Sequence[str]) -> Path:
    """Where the user's own files are."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256("\n".join(sorted(set(tasks))).encode()).hexdigest()[:8]
    return home / "presage" / "success" / f"{weights}-{name}.json"


def _keep(folder: Path, threshold: Threshold) -> Path:
    """Write a threshold beside the checkpoint, or in the user's cache where that is part of presage, not to be written,
    or has one for its weights already (of other tasks)."""
    beside, cached = folder / FILE, _cached(threshold.weights, threshold.tasks)
    shipped = folder.resolve().is_relative_to(Path(presage.__file__).resolve().parent)
    there = None if shipped else _read(beside)
    if not shipped and (there is None or there.weights != threshold.weights):
        try:
            save_threshold(beside, threshold)
            return beside
        except OSError:
            pass  # the cache will do
    try:
        save_threshold(cached, threshold)
        return cached
    except OSError as error:
        raise UserError(f"cannot write {cached}: {error.strerror}; set XDG_CACHE_HOME to a writable folder") from None
