"""One person's dream: branches are exact, the simulator keeps step, recordings are datasets."""

import numpy as np
import pytest
import torch
from tests.players import TASK, arena_model

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.interface.play import dream as dreams
from presage.interface.play.dream import Dream, Row
from presage.interface.play.recording import Recording
from presage.interface.play.studio import Studio, steering
from presage.interface.play.view import planes
from presage.networks.base import step, value_of
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.training.data import load_rows
from presage.worlds.world import find_world

RIGHT, UP, STILL = (np.array(a, np.float32) for a in ((1, 0), (0, -1), (0, 0)))


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(arena_model(), TASK, players=2)


@pytest.fixture()
def dream(studio: Studio) -> Dream:
    dream = Dream(studio, 0)
    dream.reset(TASK, 3)
    return dream


def same(one: Row, other: Row) -> bool:
    """Whether two moments show and know the same, to the bit."""
    assert one.real is not None and other.real is not None
    pairs = [(one.imagined, other.imagined), (one.real, other.real)]
    return one.value == other.value and all((a[name] == b[name]).all() for a, b in pairs for name in a)


def test_the_same_actions_from_a_moment_lead_to_the_same_future(dream: Dream) -> None:
    for _ in range(6):
        dream.step(RIGHT)
    first = dream.now.row
    dream.rewind(2)
    for _ in range(4):
        dream.step(RIGHT)
    again = dream.now.row
    assert same(first, again) and again.parent != first.parent
    dream.rewind(2)
    for _ in range(4):
        dream.step(UP)
    assert not same(first, dream.now.row)


def test_another_seed_is_another_future_where_frames_are_denoised(dream: Dream) -> None:
    dream.settings.steps = 1
    one = dream.step(RIGHT)
    dream.rewind(0)
    dream.settings.seed = 1
    assert (one.imagined["image.top"] != dream.step(RIGHT).imagined["image.top"]).any()


def test_players_do_not_disturb_each_other(studio: Studio) -> None:
    def drive(dream: Dream, action: np.ndarray) -> list[Row]:
        return [dream.step(action) for _ in range(5)]

    lone = Dream(studio, 0), Dream(studio, 1)
    rows = []
    for each, action in zip(lone, (RIGHT, UP), strict=True):
        each.reset(TASK, 3)
        rows.append(drive(each, action))
    both = Dream(studio, 0), Dream(studio, 1)
    for each in both:
        each.reset(TASK, 3)
    for i in range(5):
        for each, action, alone in zip(both, (RIGHT, UP), rows, strict=True):
            assert same(each.step(action), alone[i])
    assert not same(rows[0][-1], rows[1][-1])


def test_a_knock_is_seen_by_the_dream_only_when_it_is_grounded(dream: Dream) -> None:
    before = dream.step(RIGHT)
    knocked = dream.disturb("knock")
    assert before.real is not None and knocked.real is not None
    assert (knocked.real["image.top"] != before.real["image.top"]).any()
    assert (knocked.imagined["image.top"] == before.imagined["image.top"]).all()
    grounded = dream.ground()
    assert grounded.real is not None
    assert (grounded.imagined["image.top"] == grounded.real["image.top"]).all()
    assert (grounded.real["image.top"] == knocked.real["image.top"]).all()
    with pytest.raises(UserError, match="choose from knock, move"):
        dream.disturb("explode")


def test_the_policy_drives_and_hands_over(dream: Dream) -> None:
    driven = [dream.step(None), dream.step(None), dream.step(RIGHT)]
    assert [row.driver for row in driven] == ["policy", "policy", "person"]
    chunks = [row.chunk for row in driven if row.chunk is not None]
    assert all(chunk.shape == (4, 2) and np.abs(chunk).max() <= 1 for chunk in chunks)
    assert (chunks[2] == RIGHT).all()


def test_moments_are_forgotten(dream: Dream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dreams, "KEEP", 5)
    for _ in range(12):
        dream.step(STILL)
    assert list(dream.moments) == [8, 9, 10, 11, 12]
    dream.rewind(8)
    with pytest.raises(UserError, match="moment 2 is not kept"):
        dream.rewind(2)


def test_uncertainty_is_shown_and_changes_nothing(dream: Dream) -> None:
    plain = dream.step(RIGHT)
    dream.rewind(0)
    dream.settings.spread = True
    assert same(plain, dream.step(RIGHT))
    spread = dream.now.spread["top"]
    assert spread.shape == (32, 32) and spread.max() > 0
    drawn = {what: image for what, _, image in planes(dream.now)}
    assert drawn["spread"].shape == (32, 32) and drawn["spread"].dtype == np.uint8 and len(drawn) == 3


def test_other_words_change_what_comes(dream: Dream) -> None:
    dream.settings.steps = 1
    one = dream.step(RIGHT)
    dream.rewind(0)
    dream.instruct("leave everything as it is")
    assert (one.imagined["image.top"] != dream.step(RIGHT).imagined["image.top"]).any()


def test_other_words_are_heard_as_if_they_had_been_told_from_the_beginning(dream: Dream) -> None:
    model = dream.studio.model
    moments = [dream.now, *[(dream.step(RIGHT), dream.now)[1] for _ in range(2)]]
    dream.instruct("leave everything as it is")
    later = dream.step(UP)
    fresh = Session(model, ["leave everything as it is"], float("nan"))
    for moment in moments:
        fresh.append(moment.session.last.values, moment.row.chunk is not None)
    step(fresh, np.repeat(UP[None, None], model.config.chunk, 1))
    assert later.value == pytest.approx(float(value_of(fresh)[0]), abs=1e-5)
    torch.testing.assert_close(
        dream.now.session.last.entry.kept["keys"], fresh.last.entry.kept["keys"], atol=1e-5, rtol=1e-4
    )
    dream.rewind(moments[-1].row.number)
    dream.instruct("push the block")  # the moment itself still knows the words of its time
    assert dream.step(UP).value != later.value


def test_a_dream_that_is_grounded_draws_new_noise(dream: Dream) -> None:
    dream.settings.steps = 1
    start = dream.now
    dream.step(STILL)
    dream.ground()
    noise = [m.session.fork(1, 0).imagine(Schedule((1.0,), (1.0,))).values["video.top"] for m in (start, dream.now)]
    assert not torch.equal(*noise)


def test_the_policy_heeds_the_seed_and_starts_again_after_a_failed_step(dream: Dream, monkeypatch) -> None:
    driven = [dream.step(None), dream.step(None)]
    dream.rewind(0)
    dream.settings.seed = 1
    assert (dream.step(None).chunk != driven[0].chunk).any()
    dream.settings.seed = 0
    dream.rewind(driven[0].number)
    first = dream.step(None)
    dream.rewind(driven[0].number)

    def fail(*args: object) -> None:
        raise UserError("the simulator is gone")

    with monkeypatch.context() as broken, pytest.raises(UserError, match="gone"):
        broken.setattr(dream.studio.slots, "step", fail)
        dream.step(None)
    assert (dream.step(None).chunk == first.chunk).all()


def test_only_tasks_of_this_world_are_played(dream: Dream) -> None:
    with pytest.raises(UserError, match="'reach-v3' is not played here"):
        dream.reset("reach-v3", 0)


def test_without_recordings_there_is_none_to_begin_in_or_to_follow(dream: Dream) -> None:
    for ask in (lambda: dream.start(0, 0), dream.follow):
        with pytest.raises(UserError, match="there is no recording to .*--data"):
            ask()


# -- steering ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "camera"), [("reach-v3", "front"), ("reach-v3", "top"), ("fetch-push", "front"), (TASK, "top")]
)
def test_right_is_right_in_the_picture(task: str, camera: str) -> None:
    world = find_world(task)
    state = {"reach-v3": [0.0, 0.6, 0.2, 1.0], "fetch-push": [1.3, 0.75, 0.4, 0.0], TASK: [250.0, 250.0]}[task]
    here = np.array(state, np.float32)
    for direction, wanted in zip(steering(world, camera, here, 64), ([1, 0], [0, -1]), strict=True):
        assert max(map(abs, direction)) == 1
        there = here.copy()
        there[:2] += 0.02 * max(1.0, state[0]) * np.array(direction, np.float32)
        moved = world.hand_pixels(camera, there[None], 64)[0] - world.hand_pixels(camera, here[None], 64)[0]
        assert np.dot(moved, wanted) > 0.9 * np.linalg.norm(moved) > 0


# -- recording --------------------------------------------------------------------------------------------------------


def record(dream: Dream, source: str = "real", good: bool = True) -> Recording:
    return Recording(source, good, dream.now.row, {"task": TASK, "seed": 3}, dream.settings.instruction)  # type: ignore[arg-type]


def test_a_recording_is_a_dataset_that_trains(dream: Dream, tmp_path) -> None:
    recording = record(dream)
    rows = [dream.now.row]
    for action in (RIGHT, RIGHT, UP):
        rows.append(dream.step(action))
        recording.add(rows[-1])
    recording.stop(dream.now.row.number)
    root = recording.write(tmp_path, dream.studio.model.config.fps, "pusher")
    assert root.name == "0001"
    dataset = Dataset(root)
    assert dataset.fps == 2.5 and dataset.robot_type == "pusher" and dataset.cameras == ["top"]
    (episode,) = dataset.episodes
    assert episode.length == 4 and episode.info["frames"] == "real" and episode.info["driver"] == "person"
    assert dataset.column("action.valid").tolist() == [True, True, True, False]
    assert dataset.column("quality").tolist() == [1, 1, 1, 0]
    np.testing.assert_array_equal(dataset.column("action")[:3], np.repeat([RIGHT, RIGHT, UP], 4, 0).reshape(3, 8))
    states = [row.real["state"][0] for row in rows if row.real is not None]
    np.testing.assert_array_equal(dataset.column("observation.state"), np.array(states, np.float32))
    apart = dataset.frames(0, "top").astype(int) - np.concatenate([row.real["image.top"] for row in rows if row.real])
    assert np.abs(apart).mean() < 8  # as compressed video
    assert load_rows(dataset, dream.studio.model).action_valid.tolist() == [True, True, True, False]


def test_a_recording_follows_the_branch(dream: Dream, tmp_path) -> None:
    dream.step(STILL)
    recording = record(dream, "imagined", good=False)
    for action in (RIGHT, RIGHT, RIGHT):
        recording.add(dream.step(action))
    dream.rewind(2)
    recording.add(dream.step(UP))  # the second and third step to the right are taken out
    recording.add(dream.disturb("knock"))  # no action of the robot: a new episode
    recording.add(dream.step(None))
    recording.add(dream.ground())
    recording.add(dream.step(UP))
    dream.rewind(0)
    recording.add(dream.step(UP))  # from before the recording began: another episode, which stays too short
    recording.stop(dream.now.row.number)
    dataset = Dataset(recording.write(tmp_path / "played", 2.5, "pusher"))
    assert dataset.lengths.tolist() == [3, 2, 2]
    assert [episode.info["driver"] for episode in dataset.episodes] == ["person", "policy", "person"]
    assert not dataset.column("quality").any()
    np.testing.assert_array_equal(dataset.column("action")[:2].reshape(2, 4, 2)[:, 0], [RIGHT, UP])


def test_recordings_do_not_overwrite_each_other(dream: Dream, tmp_path) -> None:
    for name in ("0001", "0002"):
        recording = record(dream)
        recording.add(dream.step(RIGHT))
        recording.stop(dream.now.row.number)
        assert recording.write(tmp_path, 2.5, "pusher").name == name
    empty = record(dream)
    empty.stop(dream.now.row.number)
    with pytest.raises(UserError, match="nothing was recorded"):
        empty.write(tmp_path, 2.5, "pusher")
