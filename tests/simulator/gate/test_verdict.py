"""The gate's answer: right for models that listen by construction and for those that cannot, whatever the split."""

from pathlib import Path

import numpy as np
import pytest
from tests.simulator.gate.squares import Copies, Deaf, Listens, Random, recording, write_squares

from presage.errors import UserError
from presage.measures.statistics import Interval
from presage.simulator.frames.imagine import Shown
from presage.simulator.gate.clips import Clips, cut
from presage.simulator.gate.figures import drift, figures_of, horizons, psnr, sensitivity, sharpness
from presage.simulator.gate.measure import AGAIN, COPY, MEAN, TRUE, measure
from presage.simulator.gate.others import one_by_one
from presage.simulator.gate.verdict import beats_until, judge, ratio

STEPS = 6


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return cut(recording(write_squares(tmp_path_factory.mktemp("data") / "squares")), past=1, steps=STEPS, most=1)


def some(clips: Clips, episodes: np.ndarray) -> Clips:
    return clips.part(np.flatnonzero(np.isin(clips.episode, episodes)))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Listens, "listens"),
        (Copies, "does not listen"),
        (Deaf, "does not listen"),
        (Random, "does not listen"),
    ],
)
def test_twenty_random_splits_give_no_wrong_verdict(model: type[Copies], says: str, clips: Clips) -> None:
    rng = np.random.default_rng(0)
    answers = [
        judge(measure(one_by_one(model()), some(clips, rng.permutation(24)[:12]), seed)[0], seed).says
        for seed in range(20)
    ]
    assert set(answers) <= {says, "cannot tell"} and answers.count(says) >= 15


def test_three_episodes_cannot_tell(clips: Clips) -> None:
    verdict = judge(measure(one_by_one(Listens()), some(clips, np.arange(3)))[0])
    assert verdict.says == "cannot tell" and verdict.reason == "3 episodes, at least 8 are needed"


def test_one_episode_has_no_other_to_be_compared_with(clips: Clips) -> None:
    with pytest.raises(UserError, match="one episode alone: its actions can be compared with no others"):
        measure(one_by_one(Listens()), some(clips, np.arange(1)))


def test_where_all_episodes_do_the_same_it_is_not_said_that_the_model_is_deaf(tmp_path: Path) -> None:
    same = cut(recording(write_squares(tmp_path / "same", episodes=9, same=True)), past=1, steps=STEPS, most=1)
    listening, deaf = (judge(measure(one_by_one(model()), same)[0]) for model in (Listens, Deaf))
    assert listening.says == "cannot tell" and "do all episodes do the same?" in listening.reason
    assert deaf.says == "does not listen"


def test_where_nothing_moves_nothing_is_said(clips: Clips) -> None:
    still = Clips(clips.shown, clips.actions, np.repeat(clips.shown.frames, STEPS, 1), clips.episode, clips.row)
    verdict = judge(measure(one_by_one(Copies()), still)[0])
    assert verdict.says == "cannot tell" and "hardly anything moves" in verdict.reason


def test_measures_say_what_a_model_does(clips: Clips) -> None:
    some_clips = clips.part(np.arange(16))
    listens, films = measure(one_by_one(Listens()), some_clips, films=3)
    copies, _ = measure(one_by_one(Copies()), some_clips)
    assert psnr(listens, TRUE, "moving").min() > psnr(listens, COPY, "moving").max() + 3
    assert np.array_equal(psnr(copies, TRUE, "all"), psnr(copies, COPY, "all"))
    assert not sensitivity(copies).any() and not sensitivity(listens, AGAIN).any()
    assert sensitivity(listens)[-1] > 0.5
    assert drift(copies).max() < 5 and np.abs(sharpness(listens) - 1).max() < 0.3
    assert beats_until(listens) == STEPS and beats_until(copies) == 0
    assert films.frames["zero"].shape == films.clips.truth.shape and len(films.clips) == 3
    assert len(np.unique(films.clips.episode)) == 3
    found = figures_of(listens, judge(listens))
    assert found["verdict"] == "listens" and found["front/beats_baselines_until"] == STEPS
    assert set(horizons(STEPS)) == {1, 2, 4, 6} and f"front/{MEAN}, all pixels, dB/6" in found


def test_the_same_actions_again_show_what_chance_changes_and_nothing_else_does(clips: Clips) -> None:
    def noisy(shown: Shown, actions: np.ndarray, draw: int = 0) -> np.ndarray:
        frames = one_by_one(Listens())(shown, actions)
        noise = np.random.default_rng(draw).integers(-20, 20, frames.shape)
        return np.clip(frames + noise, 0, 255).astype(np.uint8)

    few = clips.part(np.arange(6))
    found, _ = measure(noisy, few)
    fixed, _ = measure(lambda shown, actions, draw=0: noisy(shown, actions), few)
    assert sensitivity(found, AGAIN).min() > 0.05 and not sensitivity(fixed, AGAIN).any()
    for name in set(found.error) - {AGAIN}:
        assert np.array_equal(found.error[name]["moving"], fixed.error[name]["moving"])


def test_a_mean_frame_is_what_it_says(clips: Clips) -> None:
    few = clips.part(np.arange(4))
    found, _ = measure(one_by_one(Copies()), few)
    mean = np.concatenate([few.shown.frames, few.truth], 1).mean((0, 1)).round()
    error = np.square(few.truth[:, 2, 0] - mean[0]).mean(-1).sum()
    assert found.error[MEAN]["all"][:, 2, 0].sum() == pytest.approx(error, rel=1e-4)


def test_ratios_are_of_sums_over_episodes_with_wider_intervals_for_few() -> None:
    rng = np.random.default_rng(0)
    episode, lower = np.repeat(np.arange(12), 2), rng.uniform(1, 2, 24)
    upper = 1.5 * lower + rng.normal(0, 0.1, 24)
    value, low, high = ratio(upper, lower, episode)
    assert value == pytest.approx(upper.sum() / lower.sum()) and low < 1.5 < high and high - low < 0.2
    assert ratio(2 * lower, lower, episode) == pytest.approx((2, 2, 2))
    assert np.isnan(ratio(upper, 0 * lower, episode)).all()
    assert isinstance(ratio(upper, lower, episode), Interval)
