"""The rule of verdicts: what can never be shown, what is, and why not."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presage.errors import UserError
from presage.measures.statistics import bootstrap_mean
from presage.systems.lab.delays import at_least, at_most
from presage.systems.lab.verdict import (
    Sanity,
    judge,
    judge_equal,
    paired_difference,
    verdict_from_json,
    verdict_to_json,
)

SHAPES = st.tuples(st.integers(1, 4), st.integers(5, 30))
MARGINS = st.floats(0.02, 0.3)


def outcomes(rates: list[float], starts: int, seed: int = 0) -> np.ndarray:
    """Successes (seeds, starts) of an arm whose training seeds reach `rates`."""
    return (np.random.default_rng(seed).random((len(rates), starts)) < np.array(rates)[:, None]).astype(float)


def test_a_difference_that_equals_its_limit_holds_however_it_is_rounded() -> None:
    assert at_most("later", 25 / 60 - 22 / 60, 0.05).holds and at_least("told", 28 / 60 - 22 / 60, 0.10).holds
    assert not at_most("later", 0.0501, 0.05).holds and not at_least("told", 0.0999, 0.10).holds


@given(SHAPES, MARGINS, st.integers(0, 99))
def test_identical_arms_are_never_shown(shape: tuple[int, int], margin: float, seed: int) -> None:
    same = np.random.default_rng(seed).random(shape)
    verdict = judge({"a": same, "b": same.copy()}, "a", {"b": margin})
    assert verdict.outcome == "refuted"
    assert verdict.comparisons[0].difference == (0.0, 0.0, 0.0)


@given(SHAPES, MARGINS, st.integers(0, 99))
def test_a_large_true_difference_is_shown(shape: tuple[int, int], margin: float, seed: int) -> None:
    control = np.random.default_rng(seed).random(shape) * 0.5
    verdict = judge({"a": control + 0.5, "b": control}, "a", {"b": margin}, tuning={"b": 0.3})
    assert verdict.outcome == "shown"
    assert verdict.comparisons[0].difference.value == pytest.approx(0.5)
    assert ("one training seed" in verdict.reason) == (shape[0] == 1)


@given(st.integers(2, 5), st.integers(0, 4), st.integers(0, 99))
def test_one_contrary_seed_prevents_it(seeds: int, contrary: int, seed: int) -> None:
    control = np.random.default_rng(seed).random((seeds, 20))
    arm = control + 1.0
    arm[contrary % seeds] = control[contrary % seeds] - 0.01
    verdict = judge({"a": arm, "b": control}, "a", {"b": 0.05})
    assert verdict.outcome != "shown" and not verdict.comparisons[0].same_sign


@given(SHAPES, st.integers(0, 99))
def test_exchanging_the_arms_turns_the_sign(shape: tuple[int, int], seed: int) -> None:
    a, b = np.random.default_rng(seed).random((2, *shape))
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert one.value == pytest.approx(-other.value)
    assert one.low == pytest.approx(-other.high, abs=0.02) and one.high == pytest.approx(-other.low, abs=0.02)


def test_with_one_seed_the_interval_is_that_of_the_pairs() -> None:
    a, b = outcomes([0.7], 200, seed=1), outcomes([0.5], 200, seed=2)
    mine, theirs = paired_difference(a, b), bootstrap_mean((a - b)[0])
    assert mine.value == theirs.value
    assert mine.low == pytest.approx(theirs.low, abs=0.01) and mine.high == pytest.approx(theirs.high, abs=0.01)


def test_pairs_are_kept_and_seeds_that_scatter_widen_the_interval() -> None:
    hard = outcomes([0.5] * 3, 100)
    paired = paired_difference(np.minimum(hard + 0.1, 1.0), hard)
    shuffled = paired_difference(np.minimum(hard + 0.1, 1.0), hard[:, ::-1])
    assert paired.high - paired.low < 0.5 * (shuffled.high - shuffled.low)
    calm, scattered = (np.zeros((4, 50)) + np.array(rates)[:, None] for rates in ([0.2] * 4, [0.0, 0.1, 0.3, 0.4]))
    assert np.ptp(paired_difference(calm, np.zeros((4, 50)))[1:]) == pytest.approx(0)
    assert np.ptp(paired_difference(scattered, np.zeros((4, 50)))[1:]) > 0.2


CONTROL = outcomes([0.45, 0.5, 0.5], 100, seed=1)
BETTER = np.maximum(CONTROL, outcomes([0.5, 0.5, 0.5], 100, seed=2))


@pytest.mark.parametrize(
    ("arm", "margin", "more", "outcome", "reason"),
    [
        (BETTER, 0.1, {}, "shown", ""),
        (BETTER, 0.1, {"sanity": [Sanity("sees the frame", 0.1, False)]}, "not shown", "a part does not work: sees"),
        (BETTER, 0.1, {"tuning": {"b": 0.1}}, "not shown", "floor: b reaches 0.10"),
        (BETTER, 0.1, {"tuning": {"b": 0.9}}, "not shown", "ceiling: b reaches 0.90"),
        (BETTER, 0.1, {"tuning": {"b": 0.1}, "chance": 0.11}, "shown", ""),
        (BETTER, 0.4, {}, "not shown", "b does nearly as well"),
        (BETTER, 0.9, {}, "refuted", "less than half the margin"),
        (1 - BETTER, 0.1, {}, "refuted", "less than half the margin"),
        (1 - BETTER, 0.1, {"tuning": {"b": 0.05}}, "not shown", "floor"),  # nothing can be refuted there
        (CONTROL + [[0.6], [0.3], [-0.1]], 0.1, {}, "not shown", "noise"),
    ],
)
def test_every_verdict_has_its_reason(arm, margin, more, outcome, reason) -> None:
    verdict = judge({"a": arm, "b": CONTROL}, "a", {"b": margin}, **more)
    assert verdict.outcome == outcome and reason in verdict.reason
    assert verdict.words.startswith("refuted at this scale" if outcome == "refuted" else outcome)


def test_the_hardest_control_decides_and_every_control_can_prevent() -> None:
    arms = {"a": BETTER, "weak": CONTROL * 0.5, "strong": CONTROL}
    verdict = judge(arms, "a", {"weak": 0.1, "strong": 0.1})
    assert [each.control for each in verdict.comparisons] == ["strong", "weak"] and verdict.outcome == "shown"
    assert judge(arms, "a", {"weak": 0.6, "strong": 0.1}).comparisons[0].control == "weak"  # each has its own margin
    noisy = CONTROL.copy()
    noisy[0] = 1.0
    noisy[1:] = 0.0  # weaker in the mean, but better with one training seed
    assert judge(arms | {"noisy": noisy}, "a", {"strong": 0.1, "noisy": 0.1}).outcome == "not shown"


def test_being_as_good_means_something_only_if_less_is_worse() -> None:
    arms = {"10 %": CONTROL, "100 %": CONTROL, "1 %": CONTROL * 0.5}
    assert judge_equal(arms, "10 %", "100 %", 0.1, "1 %").outcome == "shown"
    alike = judge_equal(arms | {"1 %": CONTROL}, "10 %", "100 %", 0.1, "1 %")
    assert alike.outcome == "not shown" and "does as well" in alike.reason
    assert judge_equal(arms, "1 %", "100 %", 0.1, "1 %").outcome == "refuted"
    noise = judge_equal(arms | {"100 %": outcomes([0.5] * 3, 100, 9)}, "10 %", "100 %", 0.02, "1 %")
    assert noise.outcome == "not shown" and "noise" in noise.reason
    broken = judge_equal(arms, "10 %", "100 %", 0.1, "1 %", [Sanity("codec", 0.0, False)])
    assert broken.outcome == "not shown" and "codec" in broken.reason


@pytest.mark.parametrize(
    ("arm", "control", "margins"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), {"b": 0.1}),
        (np.zeros(3), np.zeros(3), {"b": 0.1}),
        (np.full((2, 3), np.nan), np.zeros((2, 3)), {"b": 0.1}),
        (np.zeros((2, 3)), np.zeros((2, 3)), {"b": 0.0}),
        (np.zeros((2, 3)), np.zeros((2, 3)), {}),
    ],
)
def test_what_is_no_comparison_is_refused(arm, control, margins) -> None:
    with pytest.raises(ValueError):
        judge({"a": arm, "b": control}, "a", margins)


def test_json_brings_it_back() -> None:
    verdict = judge({"a": BETTER, "b": CONTROL}, "a", {"b": 0.1}, [Sanity("sees the frame", 0.4, True, "above 0.33")])
    content = json.loads(json.dumps(verdict_to_json(verdict)))
    assert verdict_from_json(content) == verdict
    with pytest.raises(UserError, match="no verdict"):
        verdict_from_json(content | {"outcome": "likely"})
    del content["comparisons"]
    with pytest.raises(UserError, match="no verdict"):
        verdict_from_json(content)
