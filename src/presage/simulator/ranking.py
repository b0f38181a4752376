"""Policies ranked in dreams from recorded first frames, by a referee that may say "cannot tell".

The referee learns from recorded episodes whose outcome is known: they are dreamed again with their own actions, twice
with other noise. From the highest value of a dream follows how likely success is (`certainty.py`); from what inverse
dynamics reads back, how far a dream usually contradicts itself (`backwards.py`). A policy is dreamed twice as well.

Shapes: E episodes, D dreams of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from presage.measures.abstention import AbstentionCurve, abstention_curve
from presage.networks.robot import RobotModel
from presage.simulator.backwards import can_invert, given_back, limit_of
from presage.simulator.certainty import Answers, Calibration, answer, fit, left_out
from presage.simulator.environment import DreamWorld
from presage.simulator.familiar import FAR, Familiar
from presage.simulator.outcomes import LEAST, chosen_outcomes, dream_recorded, not_enough
from presage.simulator.success import Threshold
from presage.worlds.protocol import Policy
from presage.worlds.recording import Recording
from presage.worlds.rollout import RolloutResult, rollout

DREAMS = 2
BATCH = 60
ALIKE = 1e-6
"""Two dreams whose values differ by less are the same one: nothing in this model is left to chance"""


@dataclass(frozen=True, eq=False)
class Referee:
    """Says of dreams whether they succeeded.

    seeds: of the dreams of an episode; one where two are the same. limit: error of what inverse dynamics reads from
    which on a dream contradicts itself; infinite where the model cannot be asked. fitted: the calibration is of these
    recordings. recorded, truth: of recorded episodes of known outcome, what is said by curves that were fitted without
    them, and what came.
    """

    calibration: Calibration
    seeds: tuple[int, ...]
    limit: float
    fitted: bool
    recorded: Answers | None
    truth: np.ndarray  # (E,) bool
    familiar: Familiar | None

    def curve(self) -> AbstentionCurve | None:
        """Of the recorded episodes."""
        told = self.recorded
        return None if told is None else abstention_curve(told.called, self.truth, told.confidence)

    @property
    def accuracy(self) -> float:
        """Balanced, of the recorded episodes, whether answered or not; nan where one outcome is missing."""
        if self.recorded is None or self.truth.all() or not self.truth.any():
            return float("nan")
        right = self.recorded.called == self.truth
        return float((right[self.truth].mean() + right[~self.truth].mean()) / 2)

    def describe(self) -> list[str]:
        """What a person should know of it."""
        if self.recorded is None:
            lacks = "no recorded episode has a known outcome and all its actions"
            lines = [f"{lacks}: the checkpoint's own threshold says what a success is"]
        else:
            good, bad = int(self.truth.sum()), int((~self.truth).sum())
            of = f"{good} recorded successes and {bad} failures"
            given = self.recorded.given
            right = (self.recorded.called == self.truth)[given]
            sure = f"right in {right.sum()} of the {given.sum()} it is sure of" if given.any() else "sure of none"
            how = "each told by the others" if self.fitted else "told by the checkpoint's threshold"
            lines = [f"success in the dream: balanced accuracy {self.accuracy:.2f} on {of}, {how}; {sure}"]
            if self.accuracy <= 0.5:
                lines.append("it does not tell recorded successes from failures: imagined success says nothing here")
        if len(self.seeds) < DREAMS:
            lines.append("nothing in this dream is left to chance, so that one dream of each episode is enough")
        if not np.isfinite(self.limit):
            lines.append("inverse dynamics was not asked whether dreams contradict themselves")
        return lines

    def answers(self, evidence: "Evidence", far_off: np.ndarray) -> Answers:
        """far_off: share of the chunks of each episode (E,) that are unlike all recorded ones, nan unknown."""
        doubtful = evidence.contradicted(self.limit) | (far_off > FAR)
        return answer(self.calibration.probability(evidence.value), doubtful)

    def far_off(self, results: Sequence[RolloutResult]) -> np.ndarray:
        """(E,) share of the chunks of each episode that are unlike all recorded ones; nan where nobody knows."""
        if self.familiar is None:
            return np.full(len(results), np.nan)
        return np.array([self.familiar.far_off(r.actions) if r.actions is not None else np.nan for r in results])


@dataclass(frozen=True, eq=False)
class Evidence:
    """What D dreams of E episodes show."""

    value: np.ndarray  # (D, E) the highest
    own: np.ndarray  # (D, E) error of what inverse dynamics reads; nan where it was not asked
    others: np.ndarray  # (D, E) the same against the actions of another episode

    def contradicted(self, limit: float) -> np.ndarray:
        """(E,) bool: on average over the dreams, by the limit of recorded actions or, where these actions lie further
        apart, by their own."""
        contradicted: np.ndarray = self.own.mean(0) > np.fmax(limit, limit_of(self.others))
        return contradicted


@dataclass(frozen=True, eq=False)
class Imagined:
    """A policy in dreams: its episodes with their actions, without frames, of the first dream; what is said; and the
    share of each one's chunks (E,) that are unlike all recorded ones."""

    results: list[RolloutResult]
    answers: Answers
    evidence: Evidence
    far_off: np.ndarray

    @property
    def unlike(self) -> float:
        """Share of all its chunks that are unlike all recorded ones; nan where nobody knows."""
        steps = np.array([each.steps for each in self.results])
        known = np.isfinite(self.far_off) & (steps > 0)
        return float(np.average(self.far_off[known], weights=steps[known])) if known.any() else float("nan")


def referee_of(model: RobotModel, recording: Recording, threshold: Threshold | None = None, seed: int = 0) -> Referee:
    """Calibrate on the recorded episodes of known outcome. Where too few are known, or they are alike, the `threshold`
    of the checkpoint does.

    Raises:
        UserError: neither is there.
    """
    places = chosen_outcomes(recording, seed)
    success = np.array([bool(recording.success[e]) for e in places], bool)
    enough = min(int(success.sum()), int((~success).sum())) >= LEAST
    if not enough and threshold is None:
        raise not_enough(recording)
    invert = can_invert(model)
    seeds: tuple[int, ...] = (seed, seed + 1)
    told = None
    if places:
        told = _joined([_recorded(model, recording, places, each, invert) for each in seeds])
        if np.ptp(told.value, axis=0).max() < ALIKE:
            seeds, told = seeds[:1], Evidence(told.value[:1], told.own[:1], told.others[:1])
    limit = float("nan") if told is None else limit_of(told.others)
    limit = float("inf") if np.isnan(limit) else limit
    if enough and told is not None:
        curve, chance = fit(told.value, success), left_out(told.value, success, seed)
    else:
        assert threshold is not None
        curve = Calibration.of_threshold(threshold.threshold, threshold.balanced_accuracy)
        chance = curve.probability(told.value) if told is not None else np.zeros((1, 0))
    recorded = None if told is None else answer(chance, told.contradicted(limit))
    return Referee(curve, seeds, limit, enough, recorded, success, Familiar.of(recording, seed))


def imagine(
    policy: Policy,
    model: RobotModel,
    world: Any,
    tasks: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    referee: Referee,
) -> Imagined:
    """Dream the episodes of a policy that begin in the first frames of `world`, and say what came of them."""
    parts, results = [], list[RolloutResult]()
    for i in range(0, len(tasks), world.num_envs):
        some = slice(i, i + world.num_envs)
        seen = []
        for seed in referee.seeds:
            dream = DreamWorld(model, world, referee.calibration.enough, seed=seed)
            seen.append(rollout(policy, dream, tasks[some], seeds[some], steps, record=True))
        parts.append(_joined([_shown(model, dreams, np.isfinite(referee.limit)) for dreams in seen]))
        results += [replace(each, frames={}) for each in seen[0]]
    evidence = Evidence(*(np.concatenate([getattr(p, name) for p in parts], 1) for name in ("value", "own", "others")))
    far_off = referee.far_off(results)
    answers = referee.answers(evidence, far_off)
    said = [replace(each, success=bool(called)) for each, called in zip(results, answers.called, strict=True)]
    return Imagined(said, answers, evidence, far_off)


def _recorded(model: RobotModel, recording: Recording, places: Sequence[int], seed: int, invert: bool) -> Evidence:
    """(1, E)"""
    parts = [places[i : i + BATCH] for i in range(0, len(places), BATCH)]
    return _joined([_shown(model, dream_recorded(model, recording, part, seed), invert) for part in parts], 1)


def _shown(model: RobotModel, dreams: Sequence[RolloutResult], invert: bool) -> Evidence:
    """(1, E)"""
    value = np.array([each.values.max() for each in dreams if each.values is not None])
    unasked = np.full(len(dreams), np.nan)
    own, others = given_back(model, dreams) if invert else (unasked, unasked)
    return Evidence(value[None], own[None], others[None])


def _joined(parts: Sequence[Evidence], axis: int = 0) -> Evidence:
    return Evidence(*(np.concatenate([getattr(p, name) for p in parts], axis) for name in ("value", "own", "others")))
