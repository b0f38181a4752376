"""What recordings say of a policy's dreams: success, failure, or nothing."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.episodes.robots import write_robot
from tests.tiny import tiny_model

from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.simulator import backwards, ranking
from presage.simulator.backwards import can_invert, given_back, limit_of
from presage.simulator.familiar import Familiar, moves, warning
from presage.simulator.outcomes import dream_recorded, dreamed_again, recorded_episodes
from presage.simulator.ranking import Evidence, imagine, referee_of
from presage.simulator.recordings import recording_of_robot
from presage.simulator.success import Threshold
from presage.worlds.recording import RecordedWorld, Recording
from presage.worlds.rollout import RandomPolicy


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Six episodes of an arm, of which every second succeeded; their actions lie apart by 1 in every joint."""
    root = write_robot(tmp_path / "arm", ("front", "top"), joints=4, length=13, fps=20, episodes=6)
    return recording_of_robot(Robot.from_dataset(Dataset(root)), Dataset(root), 32)


def test_a_recorded_dream_has_frames_states_and_values(recording: Recording) -> None:
    model = tiny_model()
    first, other = dream_recorded(model, recording, [2, 5])
    assert first.frames["top"].shape == (4, 32, 32, 3) and first.states is not None and first.values is not None
    assert np.array_equal(first.frames["top"][0], recording.frames(2)[0, 1]) and len(first.states) == 4
    np.testing.assert_allclose(
        [first.values.max(), other.values.max()],  # type: ignore[union-attr]
        dreamed_again(model, recording, [2, 5]),
        atol=1e-4,
    )


def test_actions_that_come_out_again_do_not_contradict(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    model.action_codec = replace_scale(model.action_codec, 10.0)
    dreams = dream_recorded(model, recording, [0, 1, 4])
    done = [each.actions for each in recorded_episodes(recording, [0, 1, 4])]
    monkeypatch.setattr(backwards, "label", lambda *_, **__: done)
    own, others = given_back(model, dreams)
    assert own.tolist() == pytest.approx([0, 0, 0], abs=1e-9) and (others > 0.005).all()
    monkeypatch.setattr(backwards, "label", lambda *_, **__: [done[1]] * 3)  # whatever was done, it reads the same
    deaf, _ = given_back(model, dreams)
    assert deaf[0] > 0.005 and deaf[1] == pytest.approx(0, abs=1e-9)
    assert limit_of(others) == pytest.approx(others.mean() / 2)
    monkeypatch.setattr(backwards, "label", lambda *_, **__: done[1:2])
    lone, (unknown,) = given_back(model, dreams[1:2])  # against its own actions it would always contradict itself
    assert lone[0] == pytest.approx(0, abs=1e-9) and np.isnan(unknown)
    assert limit_of(np.append(others, unknown)) == limit_of(others) and np.isnan(limit_of(np.array([unknown])))


def test_a_lone_dream_is_judged_by_the_limit_of_recorded_ones() -> None:
    evidence = Evidence(np.full((1, 2), 0.9), np.array([[0.1, 0.3]]), np.full((1, 2), np.nan))
    assert evidence.contradicted(0.2).tolist() == [False, True] and not evidence.contradicted(np.inf).any()


def replace_scale(codec, scale: float):
    return type(codec)(list(codec.center), [scale] * len(codec.scale))


def test_the_model_can_be_asked_what_was_done() -> None:
    assert can_invert(tiny_model())


def test_a_dream_that_contradicts_itself_gets_no_answer(recording: Recording) -> None:
    referee = referee_of(tiny_model(), recording)
    assert referee.fitted and len(referee.truth) == 6 and referee.recorded is not None
    value, own = np.full((1, 3), 0.999), referee.limit * np.array([[0.5, 2.0, 0.9]])
    usual = np.zeros(3)
    said = referee.answers(Evidence(value, own, own), usual)
    assert said.confidence[1] == 0 and not said.given[1] and said.confidence[0] == said.confidence[2] > 0
    # Where actions lie far apart, more may be wrong about them before another episode's fit as well.
    assert referee.answers(Evidence(value, own, 10 * own), usual).confidence.min() > 0
    unasked = np.full((1, 3), np.nan)
    assert referee.answers(Evidence(value, unasked, unasked), unasked[0]).confidence.min() > 0


def test_a_dream_of_actions_that_nobody_recorded_gets_no_answer(recording: Recording) -> None:
    referee = referee_of(tiny_model(), recording)
    unasked = np.full((1, 3), np.nan)
    said = referee.answers(Evidence(np.full((1, 3), 0.999), unasked, unasked), np.array([0.05, 0.3, np.nan]))
    assert (said.confidence > 0).tolist() == [True, False, True]


def test_two_dreams_are_asked_where_they_differ(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    model, dreams = tiny_model(), ranking.dream_recorded
    assert len(referee_of(model, recording).seeds) == 1  # a tiny model leaves nothing to chance

    def noisy(model, recording, places, seed=0):
        made = dreams(model, recording, places, seed)
        return [replace(each, values=np.clip(each.values + 0.1 * seed, 0, 1)) for each in made]

    monkeypatch.setattr(ranking, "dream_recorded", noisy)
    referee = referee_of(model, recording)
    assert len(referee.seeds) == 2
    world = RecordedWorld(recording, 2)
    random = RandomPolicy((2, *model.chunk_shape), 0)
    tasks, seeds = [recording.task[0]] * 3, [0, 1, 2]
    found = imagine(random, model, world, tasks, seeds, 2, referee)
    assert found.evidence.value.shape == (2, 3) and [each.steps for each in found.results] == [2, 2, 2]
    assert [each.success for each in found.results] == found.answers.called.tolist()
    assert all(not each.frames for each in found.results) and len(found.far_off) == 3
    assert found.unlike == pytest.approx(found.far_off.mean())  # episodes of equal length


def test_without_outcomes_the_checkpoint_has_to_know(recording: Recording) -> None:
    recording.success = [True] * 6
    with pytest.raises(UserError, match="6 successes and 0 failures"):
        referee_of(tiny_model(), recording)
    referee = referee_of(tiny_model(), recording, Threshold(0.5, 0.9, 4, 4))
    assert not referee.fitted and len(referee.truth) == 6 and "told by the checkpoint's" in referee.describe()[0]
    recording.success = [None] * 6
    with pytest.raises(UserError, match="no outcome is known"):
        referee_of(tiny_model(), recording)
    silent = referee_of(tiny_model(), recording, Threshold(0.5, 0.9, 4, 4))
    assert silent.recorded is None and silent.curve() is None
    assert "no recorded episode has a known outcome and all its actions" in silent.describe()[0]


def test_without_actions_it_is_not_the_outcomes_that_are_blamed(recording: Recording) -> None:
    recording.valid[:] = False
    with pytest.raises(UserError, match="no 'action' was recorded in its 6 episodes"):
        referee_of(tiny_model(), recording)


def test_actions_that_nobody_recorded_are_far_off(recording: Recording) -> None:
    familiar = Familiar.of(recording)
    assert familiar is not None
    usual = recording.actions(1) + 0.01
    assert familiar.far_off(usual) < 0.1 and familiar.far_off(usual + 100) == 1
    assert np.isnan(familiar.far_off(usual[:0]))
    assert "random: 40 % of its actions are unlike" in warning("random", 0.4)
    assert not warning("joint", 0.05) and not warning("joint", float("nan"))


def test_whoever_goes_faster_than_anybody_recorded_is_far_off() -> None:
    """By the same way, so that no single command is unusual."""
    rng = np.random.default_rng(0)
    slow = np.cumsum(rng.uniform(0.5, 1.0, (8, 20, 2, 3)).reshape(8, 40, 3), 1).reshape(8, 20, 2, 3)
    recording = SimpleNamespace(valid=np.ones(160, bool), action=slow.reshape(160, 2, 3), start=20 * np.arange(8))
    familiar = Familiar.of(recording)  # type: ignore[arg-type]
    assert familiar is not None
    again = np.cumsum(rng.uniform(0.5, 1.0, (40, 3)), 0).reshape(20, 2, 3)
    fast = again.reshape(40, 3)[::3][:12].reshape(6, 2, 3)
    assert familiar.far_off(again) < 0.1 and familiar.far_off(fast) > 0.5
    standing = np.concatenate([fast, np.broadcast_to(fast[-1:, -1:], (60, 2, 3))])  # where it arrived, until the end
    assert familiar.far_off(standing) == familiar.far_off(fast)


def test_what_nobody_moved_may_tremble_and_a_missing_action_says_nothing() -> None:
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.uniform(-1, 1, (8, 40, 2)), 1)
    walk[..., 1] = 3.0  # a gripper that stays shut
    action = walk.reshape(160, 2, 2)
    action[30], valid = np.nan, np.arange(160) != 30
    familiar = Familiar.of(SimpleNamespace(valid=valid, action=action, start=20 * np.arange(8)))  # type: ignore[arg-type]
    assert familiar is not None
    trembling, opening = action[:20].copy(), action[:20].copy()
    trembling[..., 1] += rng.uniform(0, 0.005, (20, 2))
    opening[10:, :, 1] += 1.0
    assert familiar.far_off(trembling) < 0.1 and familiar.far_off(opening) > familiar.far_off(trembling)
    jumping = action[:20].copy()
    jumping[10:, :, 0] += 5.0
    assert familiar.far_off(jumping) > 0


def test_moves_are_differences_within_an_episode() -> None:
    actions = np.array([0.0, 1, 3, 6])[:, None].reshape(2, 2, 1)
    assert moves(actions).ravel().tolist() == [0, 1, 2, 3]


def test_one_episode_says_nothing_of_what_is_usual(recording: Recording) -> None:
    recording.valid[4:] = False
    assert Familiar.of(recording) is None
