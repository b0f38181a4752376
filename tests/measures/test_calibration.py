"""Calibration: exact cases, and what must hold for any forecaster."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presage.measures.calibration import (
    brier,
    calibration_line,
    expected_calibration_error,
    reliability_curve,
)

forecasts = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60).map(
    lambda rows: (np.array([p for p, _ in rows]), np.array([o for _, o in rows]))
)


@given(forecasts, st.integers(1, 15))
def test_curve_keeps_every_episode(forecast, bins: int) -> None:
    predicted, outcome = forecast
    curve = reliability_curve(predicted, outcome, bins=bins)
    assert curve.count.sum() == predicted.size and curve.count.min() >= 1
    assert (curve.count * curve.predicted).sum() == pytest.approx(predicted.sum())
    assert (curve.count * curve.observed).sum() == pytest.approx(outcome.sum())
    assert np.all(np.diff(curve.predicted) > 0)
    assert np.all((curve.observed_low <= curve.observed) & (curve.observed <= curve.observed_high))


@given(forecasts, st.integers(1, 15))
def test_scores_are_bounded(forecast, bins: int) -> None:
    assert 0 <= expected_calibration_error(*forecast, bins=bins) <= 1
    assert 0 <= brier(*forecast) <= 1


@given(st.lists(st.booleans(), min_size=1, max_size=60).map(np.array))
def test_certainty_is_perfect_or_worst(outcome: np.ndarray) -> None:
    right, wrong = outcome.astype(float), 1 - outcome.astype(float)
    assert expected_calibration_error(right, outcome) == 0 and brier(right, outcome) == 0
    assert expected_calibration_error(wrong, outcome) == 1 and brier(wrong, outcome) == 1


def test_base_rate_is_calibrated_but_not_sharp() -> None:
    outcome = np.array([True, True, True, False])
    predicted = np.full(4, 0.75)
    assert expected_calibration_error(predicted, outcome) == 0
    assert brier(predicted, outcome) == pytest.approx(0.75 * 0.25)


def test_known_error() -> None:
    predicted, outcome = [0.95, 0.95, 0.15, 0.15], [1, 0, 0, 0]
    assert expected_calibration_error(predicted, outcome) == pytest.approx((0.45 + 0.15) / 2)


@given(st.floats(-3, 3), st.floats(-1, 1))
def test_line_is_recovered(slope: float, intercept: float) -> None:
    imagined = np.array([0.0, 0.2, 0.5, 0.9])
    line = calibration_line(imagined=imagined, real=slope * imagined + intercept)
    assert line == pytest.approx((slope, intercept), abs=1e-9)


def test_refuses_what_is_no_forecast() -> None:
    for call, says in [
        (lambda: brier([0.5], [1, 0]), "one prediction per outcome"),
        (lambda: brier([], []), "one prediction per outcome"),
        (lambda: brier([1.2], [1]), "probabilities"),
        (lambda: brier([float("nan")], [1]), "probabilities"),
        (lambda: brier([0.5], [0.5]), "0 or 1"),
        (lambda: reliability_curve([0.5], [1], bins=0), "at least one bin"),
        (lambda: calibration_line(imagined=[0.5, 0.5], real=[0.1, 0.2]), "different imagined"),
        (lambda: calibration_line(imagined=[0.5, 0.6], real=[0.1]), "one value per policy"),
    ]:
        with pytest.raises(ValueError, match=says):
            call()
