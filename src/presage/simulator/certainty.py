"""How sure is it that a dream has succeeded, and when can nobody tell?

The highest value that is predicted in a dream becomes the probability of success by a logistic curve. It is fitted to
dreams of recorded actions whose outcome is known, both outcomes counting the same, with targets that few episodes keep
away from 0 and 1 (Platt, Probabilistic outputs for support vector machines, 1999, section 2.2), and says nothing beyond
these targets: of two successes and two failures nobody can learn to be sure. What is said of a recorded episode comes
from a curve that was fitted without it.

An answer is given where every dream of an episode is `SURE` of it, the dream does not contradict itself, and what is
done in it is like what was recorded.

Shapes: E episodes, D dreams of each.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from presage.measures.statistics import Interval, difference_of_pairs

SURE = 0.8
"""Probability of an answer, by each dream, from which on it is given"""
ENOUGH = 0.95
"""Probability of success at which a dream ends: what comes later can make nobody much surer"""
STEP = 1e6
"""Slope of a threshold, of which nothing but its side is known"""
FOLDS = 10
LEAST_BOTH = 0.5
"""Share of the episodes in which both policies have an answer, from which on two of them are compared"""
EDGE = 1e-4


@dataclass(frozen=True)
class Calibration:
    """Probability of success from the highest value of a dream: a logistic curve over its log-odds, between `least` and
    `most`."""

    slope: float
    offset: float
    least: float
    most: float

    @staticmethod
    def of_threshold(threshold: float, balanced_accuracy: float) -> "Calibration":
        """Either side of a threshold is as sure as that is accurate."""
        most, odds = max(0.5, balanced_accuracy), float(log_odds(np.array(threshold)))
        return Calibration(STEP, -STEP * odds, 1 - most, most)

    def probability(self, value: np.ndarray) -> np.ndarray:
        """Of values (...) in [0, 1]."""
        return np.clip(expit(self.slope * log_odds(value) + self.offset), self.least, self.most)

    @property
    def enough(self) -> float:
        """The value at which a dream may end; infinite where none makes it so sure."""
        if not self.slope:
            return float("inf")
        found = float(expit((logit(min(ENOUGH, self.most)) - self.offset) / self.slope))
        return found if found < 1 - EDGE else float("inf")


def log_odds(value: np.ndarray) -> np.ndarray:
    """Of values in [0, 1], finite at their ends."""
    return logit(np.clip(value, EDGE, 1 - EDGE))


def fit(value: np.ndarray, success: np.ndarray) -> Calibration:
    """The curve for values (D, E) in dreams of episodes with outcomes (E,). A higher value never means less.

    Raises:
        ValueError: there are no successes or no failures.
    """
    good, bad = int(success.sum()), int((~success).sum())
    if not good or not bad:
        raise ValueError("a calibration needs episodes of both outcomes")
    most, least = (good + 1) / (good + 2), 1 / (bad + 2)
    target = np.where(success, most, least)
    weight = np.where(success, 0.5 / good, 0.5 / bad)
    odds = log_odds(value)
    middle, width = odds.mean(), max(float(odds.std()), EDGE)
    x = (odds - middle) / width

    def loss(curve: np.ndarray) -> float:
        z = curve[0] * x + curve[1]
        return float(((np.logaddexp(0, z) - target * z) @ weight).mean())

    found = minimize(loss, np.array([1.0, 0.0]), bounds=((0, None), (None, None)), method="L-BFGS-B").x
    slope = float(found[0] / width)
    return Calibration(slope, float(found[1] - slope * middle), least, most)


def left_out(value: np.ndarray, success: np.ndarray, seed: int = 0) -> np.ndarray:
    """(D, E) probabilities of values (D, E) of recorded episodes with outcomes (E,), each by a curve that was fitted to
    the others: in `FOLDS` parts that hold either outcome alike, or as many as there are of the rarer one."""
    parts = min(FOLDS, int(success.sum()), int((~success).sum()))
    part, rng = np.empty(len(success), int), np.random.default_rng(seed)
    for outcome in (True, False):
        rows = rng.permutation(np.flatnonzero(success == outcome))
        part[rows] = np.arange(len(rows)) % parts
    out = np.empty(value.shape)
    for i in range(parts):
        rest = part != i
        out[:, ~rest] = fit(value[:, rest], success[rest]).probability(value[:, ~rest])
    return out


@dataclass(frozen=True, eq=False)
class Answers:
    """What is said of E episodes."""

    called: np.ndarray
    """(E,) bool: success is likelier than failure"""
    confidence: np.ndarray
    """(E,) probability of that by the dream that is least sure; 0 where they are doubtful"""
    probability: np.ndarray
    """(E,) of success, mean over dreams"""

    @property
    def given(self) -> np.ndarray:
        """(E,) bool: where it is said; elsewhere nobody can tell."""
        return self.confidence >= SURE


def answer(probability: np.ndarray, doubtful: np.ndarray) -> Answers:
    """From probabilities of success (D, E) by each dream, and where nothing can be said from dreams (E,) bool."""
    mean = probability.mean(0)
    called = mean > 0.5
    sure = np.where(called, probability, 1 - probability).min(0)
    return Answers(called, np.where(doubtful, 0.0, sure), mean)


Says = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True)
class Pair:
    """One policy against another: the difference of imagined success over the episodes in which both have an answer,
    with its 95 % interval; nan where there are none."""

    says: Says
    apart: Interval
    both: int


def compare(one: Answers, other: Answers) -> Pair:
    """Two policies from the same first frames. "Cannot tell" where the interval holds 0, or where fewer than
    `LEAST_BOTH` of the episodes have an answer for both."""
    rows = one.given & other.given
    both = int(rows.sum())
    if not both:
        return Pair("cannot tell", Interval(float("nan"), float("nan"), float("nan")), 0)
    apart = difference_of_pairs(one.called[rows], other.called[rows])
    if both < LEAST_BOTH * len(rows) or apart.low <= 0 <= apart.high:
        return Pair("cannot tell", apart, both)
    return Pair("better" if apart.value > 0 else "worse", apart, both)
