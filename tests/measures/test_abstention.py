"""The fewer questions are answered, the surer the answers: if confidence is worth anything."""

import numpy as np
import pytest

from presage.measures.abstention import abstention_curve


def test_confidence_that_knows_gives_a_curve_that_falls() -> None:
    confidence = np.linspace(1, 0.5, 100)
    truth = np.arange(100) % 2 == 0
    called = np.where(np.arange(100) < 60, truth, False)  # right where it is sure, always "failure" where it is not
    curve = abstention_curve(called, truth, confidence)
    assert curve.answered.tolist() == pytest.approx([i / 10 for i in range(1, 11)])
    assert curve.accuracy[:6].tolist() == [1.0] * 6 and (np.diff(curve.accuracy[5:]) < 0).all()
    assert curve.accuracy[-1] == pytest.approx(0.8) and curve.kappa[5] == 1 and curve.kappa[-1] < 0.65
    figures = curve.figures()
    assert figures["abstention_accuracy/100"] == pytest.approx(0.8) and len(figures) == 30


def test_equally_sure_answers_are_given_together() -> None:
    curve = abstention_curve([True, True, False, False], [True, False, False, True], [0.9, 0.8, 0.8, 0.8], (0.25, 0.5))
    assert curve.answered.tolist() == [0.25, 1.0] and curve.accuracy.tolist() == [1.0, 0.5]


def test_a_question_needs_a_truth_and_a_confidence() -> None:
    with pytest.raises(ValueError, match="one verdict, truth and confidence"):
        abstention_curve([True], [True, False], [0.5, 0.5])
    with pytest.raises(ValueError, match="one verdict"):
        abstention_curve([], [], [])
