"""How right are answers, and how many are given? Whoever may say "cannot tell" is judged by both.

Shapes: N questions, each with a verdict, what was true, and how sure the verdict is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from presage.measures.agreement import cohen

SHARES = tuple(percent / 100 for percent in range(10, 101, 10))


@dataclass(frozen=True)
class AbstentionCurve:
    """Of the surest answers, for K shares that were asked for."""

    wanted: np.ndarray  # (K,) share of the questions
    answered: np.ndarray  # (K,) share that was answered: more, where answers are equally sure
    accuracy: np.ndarray  # (K,) share of the answers that are right
    kappa: np.ndarray  # (K,) agreement beyond chance; nan where both sides always say the same

    def figures(self) -> dict[str, float]:
        """`abstention_<what>/<percent>`"""
        sides = {"answered": self.answered, "accuracy": self.accuracy, "kappa": self.kappa}
        return {
            f"abstention_{name}/{round(100 * share)}": float(value)
            for name, values in sides.items()
            for share, value in zip(self.wanted, values, strict=True)
        }


def abstention_curve(
    called: ArrayLike, truth: ArrayLike, confidence: ArrayLike, shares: tuple[float, ...] = SHARES
) -> AbstentionCurve:
    """Accuracy and kappa of the surest answers: those that are at least as sure as the last one of each share.

    Args:
        called: (N,) bool, the verdicts.
        truth: (N,) bool.
        confidence: (N,) how sure each answer is, in any unit.

    Raises:
        ValueError: no question, or lengths differ.
    Source: El-Yaniv and Wiener, On the foundations of noise-free selective classification (2010): risk and coverage.
    """
    says, true, sure = np.asarray(called, bool), np.asarray(truth, bool), np.asarray(confidence, np.float64)
    if says.ndim != 1 or not len(says) or not says.shape == true.shape == sure.shape:
        raise ValueError(f"one verdict, truth and confidence a question, got {says.shape}, {true.shape}, {sure.shape}")
    ordered = np.sort(sure)[::-1]
    given = [sure >= ordered[max(1, round(share * len(sure))) - 1] for share in shares]
    return AbstentionCurve(
        np.array(shares),
        np.array([some.mean() for some in given]),
        np.array([(says == true)[some].mean() for some in given]),
        np.array([cohen(says[some], true[some]) for some in given]),
    )
