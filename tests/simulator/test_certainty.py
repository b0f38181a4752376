"""When an answer is given, and when nobody can tell."""

import numpy as np
import pytest

from presage.simulator.certainty import SURE, Answers, Calibration, answer, compare, fit, left_out


def told(successes: int, failures: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Values (2, E) in two dreams, `apart` in log-odds between the outcomes, and outcomes (E,)."""
    rng = np.random.default_rng(seed)
    success = np.arange(successes + failures) < successes
    odds = np.where(success, apart / 2, -apart / 2) + rng.standard_normal((2, len(success)))
    return 1 / (1 + np.exp(-odds)), success


def test_probabilities_are_as_true_as_they_say() -> None:
    value, success = told(400, 400, 3)
    chance = fit(value, success).probability(value)
    for low, high in ((0.1, 0.3), (0.4, 0.6), (0.7, 0.9)):
        some = (chance > low) & (chance < high)
        share = np.broadcast_to(success, chance.shape)[some].mean()
        assert share == pytest.approx(chance[some].mean(), abs=0.12)


def test_outcomes_count_alike_however_many_there_are_of_either() -> None:
    value, success = told(900, 100, 4)
    even = fit(value, success).probability(np.array([0.5]))[0]
    assert even == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("episodes", "sure"), [(2, False), (20, True)])
def test_of_few_episodes_nobody_learns_to_be_sure(episodes: int, sure: bool) -> None:
    value = np.repeat([[0.99, 0.01]], episodes, 1).reshape(1, -1)
    success = np.repeat([True, False], episodes)
    said = answer(fit(value, success).probability(value), np.zeros(2 * episodes, bool))
    assert said.given.all() == sure and (said.called == success).all()


def test_what_is_said_of_a_recorded_episode_was_not_fitted_to_it() -> None:
    rng = np.random.default_rng(3)
    value, success = rng.uniform(size=(1, 12)), np.arange(12) % 2 == 0
    flipped = success.copy()
    flipped[[4, 5]] = success[[5, 4]]  # as many of either
    mine, other = left_out(value, success), left_out(value, flipped)
    assert mine.shape == (1, 12)
    alone = np.array([0.02, 0.5, 0.5, 0.5, 0.98, 0.5, 0.5, 0.5])[None]
    outcome = np.array([True, False] * 4)
    # The one success of low value is called failure by the others, and by a curve of all of them it hardly is.
    assert left_out(alone, outcome)[0, 0] <= fit(alone, outcome).probability(alone)[0, 0]
    assert not np.allclose(mine, other)


def test_a_value_that_means_nothing_is_never_sure() -> None:
    rng = np.random.default_rng(0)
    value, success = rng.uniform(size=(2, 80)), np.arange(80) % 2 == 0
    said = answer(left_out(value, success), np.zeros(80, bool))
    assert said.given.mean() < 0.1


def test_dreams_that_disagree_or_contradict_themselves_give_no_answer() -> None:
    chance = np.array([[0.95, 0.95, 0.95, 0.02], [0.9, 0.3, 0.95, 0.1]])
    said = answer(chance, np.array([False, False, True, False]))
    assert said.given.tolist() == [True, False, False, True] and said.called.tolist() == [True, True, True, False]
    assert said.confidence.tolist() == pytest.approx([0.9, 0.3, 0, 0.9])


def test_a_threshold_is_as_sure_as_it_was_accurate() -> None:
    curve = Calibration.of_threshold(0.6, 0.85)
    assert curve.probability(np.array([0.59, 0.61])).tolist() == pytest.approx([0.15, 0.85])
    assert curve.enough == pytest.approx(0.6, abs=1e-4)


def test_a_dream_ends_where_nothing_makes_it_surer() -> None:
    sure, unsure = fit(*told(400, 400, 6)), fit(np.array([[0.6, 0.4]]), np.array([True, False]))
    assert sure.probability(np.array([sure.enough]))[0] == pytest.approx(0.95)
    assert unsure.probability(np.array([unsure.enough, 0.999])).tolist() == pytest.approx([2 / 3, 2 / 3])
    deaf = fit(np.array([[0.4, 0.6]]), np.array([True, False]))
    assert deaf.enough == np.inf and deaf.probability(np.array([0.01, 0.99])).tolist() == pytest.approx([0.5, 0.5])


def answers(called: list[int], given: list[int]) -> Answers:
    confidence = np.where(np.array(given, bool), SURE, 0.6)
    return Answers(np.array(called, bool), confidence, np.array(called, float))


def test_policies_are_told_apart_where_both_have_an_answer() -> None:
    good, bad, all_ = answers([1] * 12, [1] * 12), answers([0] * 10 + [1] * 2, [1] * 12), [1] * 12
    assert compare(good, bad).says == "better" and compare(bad, good).says == "worse"
    assert compare(good, bad).both == 12 and compare(good, bad).apart.low > 0
    assert compare(good, answers([1] * 10 + [0] * 2, all_)).says == "cannot tell"  # the interval holds 0
    few = answers([0] * 12, [1] * 5 + [0] * 7)
    found = compare(good, few)
    assert found.apart.low > 0 and found.both == 5 and found.says == "cannot tell"  # too few answers
    none = compare(good, answers([0] * 12, [0] * 12))
    assert none.says == "cannot tell" and none.both == 0 and np.isnan(none.apart.value)
