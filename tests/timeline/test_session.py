"""What a session asks of a backbone, and makes of the answers: on a line, by an oracle, so that every number is known.

Sessions of real networks are in tests/networks/test_packed.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.timeline.oracle import BALL, MOVE, SUM, WORDS, Line, Oracle, moves, sight
from torch import Tensor

from presage.timeline.backbone import Condition, Tap, Window
from presage.timeline.corruption import Flow, Regress
from presage.timeline.joined import JoinedSession, joinable
from presage.timeline.levels import GIVEN, UNKNOWN, Schedule, down, flat
from presage.timeline.sampler import Guidance
from presage.timeline.session import Session
from presage.timeline.streams import Stream, Values

HERE = 10.0
SPEED = 2.0
ONLY_NOISE = Schedule((1.0,), (1.0,))


def begun(*, ball: float = HERE, speed: float = SPEED, model: Line | None = None, **options: Any) -> Session[Line]:
    """A ball that was seen at 9 and is at `ball` now."""
    session = Session(model or Line(), [str(speed)], **options)
    session.observe(sight(9.0))
    session.observe(sight(ball), np.full((1, 1, 1), ball - 9))
    return session


def close(found: Tensor, expected: Any) -> None:
    torch.testing.assert_close(found.flatten(), torch.tensor(expected, dtype=found.dtype).flatten())


# -- one step ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3])
def test_one_model_is_asked_for_every_use_by_levels(steps: int) -> None:
    session = begun()
    there = {BALL.name: moves(14.5), WORDS.name: session.last.values[WORDS.name]}
    joint = session.imagine(Schedule.joint(steps)).values
    close(joint[BALL.name], HERE + SPEED), close(joint[MOVE.name], SPEED)
    close(session.imagine(Schedule.forward(steps), {MOVE.name: moves(-3)}).values[BALL.name], HERE - 3)
    close(session.imagine(Schedule.inverse(steps), there).values[MOVE.name], 4.5)
    close(session.imagine(Schedule.policy(steps)).values[MOVE.name], SPEED)
    assert set(session.imagine(Schedule.policy(steps)).values) == {MOVE.name}
    video = session.imagine(Schedule.video(steps)).values
    close(video[BALL.name], HERE + SPEED)
    assert not torch.equal(video[MOVE.name], moves(SPEED))  # it stays the noise that it was


def test_what_is_asked_at_every_step_is_answered_when_it_is_seen() -> None:
    session = begun()
    close(session.last.answers[SUM.name], HERE)
    assert SUM.name not in session.imagine(Schedule.joint(1)).values


def test_quality_and_words_reach_every_question_and_no_history() -> None:
    session = begun(quality=0.5)
    close(session.imagine(Schedule.joint(1)).values[BALL.name], HERE + 0.5 * SPEED)
    session.instruct(["7.0"])
    close(session.imagine(Schedule.joint(1)).values[BALL.name], HERE + 0.5 * 7)
    assert all(w.quality is None for w in session.backbone.heard if w.remember)


def test_before_anything_was_seen_a_dream_begins_from_nothing() -> None:
    model = Line(Oracle((MOVE, BALL)))
    close(Session(model, [str(SPEED)]).imagine(Schedule.joint(2)).values[BALL.name], SPEED)


def test_only_what_led_to_a_step_and_what_is_seen_at_it_is_read_and_without_a_context_not_even_that() -> None:
    session, fresh = begun(), begun(context=0)
    first, second = [w for w in session.backbone.heard if w.remember]
    assert MOVE.name not in first.values and first.levels[MOVE.name].item() == GIVEN  # the network knows: none is there
    close(second.values[MOVE.name], 1.0)
    assert all(MOVE.name not in w.values for w in fresh.backbone.heard)
    assert all(w.levels[SUM.name].item() == UNKNOWN for w in session.backbone.heard)
    assert [w.steps.item() for w in session.backbone.heard] == [0, 1]


def test_other_backbones_are_asked_of_the_same_past() -> None:
    session, other = begun(), Oracle()
    close(session.through(other).imagine(Schedule.joint(1)).values[BALL.name], HERE + SPEED)
    assert len(other.heard) == 1 and session.backbone is not other


# -- clips ------------------------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(path=st.lists(st.integers(-5, 5), min_size=1, max_size=5), steps=st.integers(1, 2))
def test_several_steps_are_imagined_as_one_clip(path: list[int], steps: int) -> None:
    """In one question, that sees itself: as many passes as for one step."""
    session, asked = begun(), len(path)
    passes = len(session.backbone.heard)
    clip = session.imagine(Schedule.forward(steps), {MOVE.name: moves(path)}, length=asked).values
    assert clip[BALL.name].shape == (1, asked, 1, 1) and clip[WORDS.name].shape == (1, asked, 3, 5)
    close(clip[BALL.name], HERE + np.cumsum(path))
    questions = session.backbone.heard[passes:]
    assert len(questions) == steps and all(w.together and not w.remember for w in questions)
    assert questions[0].steps.tolist() == [list(range(2, 2 + asked))]


def test_a_clip_is_translated_to_all_of_its_actions_at_once() -> None:
    clip = {BALL.name: moves([11, 14, 12]), WORDS.name: torch.zeros(1, 3, 3, 5)}
    close(begun().imagine(Schedule.inverse(1), clip, length=3).values[MOVE.name], [1.0, 3.0, -2.0])


def test_a_pyramid_ends_with_a_clean_clip_and_tells_every_step_its_own_level() -> None:
    session = begun()
    clip = session.imagine(Schedule.pyramid(2, 3), length=3).values
    close(clip[BALL.name], HERE + SPEED * np.arange(1, 4))
    told = [w.levels[BALL.name].tolist() for w in session.backbone.heard if not w.remember]
    assert told == [[[1, 1, 1]], [[0.5, 1, 1]], [[0, 0.5, 1]], [[0, 0, 0.5]]]


# -- levels in between ------------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(stop=st.floats(0.1, 0.9), steps=st.integers(1, 3))
def test_partial_denoising_stops_at_its_level(stop: float, steps: int) -> None:
    """Then what is left is the clean value with as much of the noise that it began with."""
    noise = begun().imagine(ONLY_NOISE).values[BALL.name]
    half = begun().imagine(Schedule(down(steps, stop), flat(UNKNOWN, steps))).values[BALL.name]
    expected = Flow().corrupt(moves(HERE + SPEED), torch.tensor(stop), noise)
    torch.testing.assert_close(half, expected, atol=1e-5, rtol=1e-5)


def test_in_turn_the_action_is_read_from_what_was_seen_before_it() -> None:
    session = begun()
    dream = session.imagine(Schedule.in_turn(2, 1)).values
    close(dream[BALL.name], HERE + SPEED), close(dream[MOVE.name], SPEED)
    told = [(w.levels[BALL.name].item(), w.levels[MOVE.name].item()) for w in session.backbone.heard[2:]]
    assert told == [(1, 1), (0.5, 1), (0, 1)]


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_history_may_be_noisy_and_the_network_is_told_how_much(level: float) -> None:
    session = begun()
    session.append(session.last.values, imagined=True, level=level)
    heard = session.backbone.heard[-1]
    assert heard.remember and heard.levels[BALL.name].item() == pytest.approx(level)
    assert heard.levels[MOVE.name].item() == GIVEN  # what was done is known
    assert torch.equal(heard.values[BALL.name][:, 0], session.last.values[BALL.name])


@pytest.mark.parametrize("stop", [1.0, 0.4, 0.0])
def test_features_are_read_at_the_levels_where_a_schedule_ends(stop: float) -> None:
    schedule = ONLY_NOISE if stop == 1 else Schedule((1.0, stop), (1.0, 1.0))
    shown = begun().imagine(schedule).values[BALL.name]
    session = begun()
    read = session.features(Tap(1), schedule)
    assert read[BALL.name].shape == (1, 1, 2)
    torch.testing.assert_close(read[BALL.name], torch.cat([shown, torch.full((1, 1, 1), stop)], -1))
    assert read[MOVE.name][..., -1].item() == UNKNOWN
    assert len(session.blocks) == 2  # reading leaves no trace


def test_features_of_several_taps_need_as_many_passes_as_levels_and_one_more() -> None:
    session = begun()
    passes = len(session.backbone.heard)
    session.features(Tap(), Schedule((1.0, 0.5), (1.0, 1.0)))
    assert len(session.backbone.heard) - passes == 2


# -- guidance and reuse -----------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(scale=st.floats(0.0, 4.0), other=st.integers(-3, 3))
def test_guidance_goes_away_from_what_another_condition_says(scale: float, other: int) -> None:
    unlike = Guidance({BALL.name: scale}, Condition(torch.tensor([[float(other)]])))
    dream = begun().imagine(Schedule.joint(2), guidance=unlike).values
    assert dream[BALL.name].item() == pytest.approx(HERE + other + scale * (SPEED - other), abs=1e-4)
    close(dream[MOVE.name], SPEED)  # no pattern guides it


@pytest.mark.parametrize("without", [None, Condition(torch.tensor([[9.0]]))], ids=["history", "condition"])
def test_guidance_of_scale_1_changes_nothing(without: Condition | None) -> None:
    plain = begun().imagine(Schedule.joint(2)).values
    guided = begun().imagine(Schedule.joint(2), guidance=Guidance({"*": 1.0}, without)).values
    for name in (BALL.name, MOVE.name):
        torch.testing.assert_close(guided[name], plain[name])


def test_guidance_goes_away_from_what_is_said_without_history() -> None:
    """Song et al. 2025. Without it the ball would be at 0 now."""
    session = begun(model=Line(Oracle((MOVE, BALL))))
    dream = session.imagine(Schedule.joint(1), guidance=Guidance({BALL.name: 1.5})).values
    close(dream[BALL.name], SPEED + 1.5 * HERE)


def test_answers_may_be_used_for_several_levels() -> None:
    session, often = begun(), begun()
    rarely = session.imagine(Schedule.joint(4), reuse=2).values
    close(rarely[BALL.name], HERE + SPEED)
    often.imagine(Schedule.joint(4))
    assert len(session.backbone.heard) - 2 == 2 and len(often.backbone.heard) - 2 == 4


def test_a_stream_that_begins_to_move_is_asked_for_whatever_is_reused() -> None:
    dream = begun().imagine(Schedule.in_turn(1, 2), reuse=3).values
    close(dream[BALL.name], HERE + SPEED), close(dream[MOVE.name], SPEED)


# -- goals, words of tokens, answers in one pass, derived streams -----------------------------------------------------


def towards(session: Session[Line], *goals: float) -> Session[Line]:
    session.condition = replace(session.condition, goal={BALL.name: moves(*goals)}, gesture=moves(*goals)[:, 0])
    return session


def test_a_goal_image_arrives_in_the_condition_and_stays_with_its_row() -> None:
    session = Session(Line(), ["1", "1"])
    session.observe(sight(HERE, HERE))
    towards(session, 13.0, 8.0)
    close(session.imagine(Schedule.joint(1)).values[MOVE.name], [3.0, -2.0])
    fork = session.fork(2)
    close(fork.imagine(Schedule.policy(1)).values[MOVE.name], [3.0, 3.0, -2.0, -2.0])
    fork.keep([2])
    close(fork.imagine(Schedule.policy(1)).values[MOVE.name], -2.0)
    close(fork.condition.gesture, 8.0)
    session.instruct(["5", "5"])  # other words, the same goals
    close(session.imagine(Schedule.policy(1)).values[MOVE.name], [3.0, -2.0])


def test_joined_sessions_have_their_own_goals_and_some_without_a_goal_cannot_be_joined() -> None:
    model = Line()
    one, other = (towards(begun(model=model), goal) for goal in (13.0, 8.0))
    joined = JoinedSession([one, other])
    close(joined.imagine(Schedule.policy(1)).values[MOVE.name], [3.0, -2.0])
    close(joined.condition.gesture, [13.0, 8.0])
    assert joinable(one) != joinable(begun(model=model))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_discrete_tokens_are_unmasked_until_all_are_shown(steps: int) -> None:
    session = begun()
    masked = begun().imagine(ONLY_NOISE).values[WORDS.name]
    assert not masked.any()
    words = session.imagine(Schedule.joint(steps)).values[WORDS.name]
    assert torch.equal(words, torch.eye(5)[torch.arange(3) + 1][None])  # the oracle counts up
    shown = [w.values[WORDS.name].sum().item() for w in session.backbone.heard[2:]]
    assert shown == [3 - round(3 * (1 - i / steps)) for i in range(steps)]


def test_an_answer_in_one_pass_starts_from_a_query_and_draws_no_noise() -> None:
    session = begun(model=Line(Oracle((MOVE, replace(BALL, corruption=Regress())))))
    first, again = (session.imagine(Schedule.forward(1), {MOVE.name: moves(3)}).values for _ in range(2))
    close(first[BALL.name], HERE + 3)
    assert torch.equal(first[BALL.name], again[BALL.name])
    assert BALL.name not in session.backbone.heard[-1].values
    assert BALL.name in session.backbone.heard[-1].levels


def test_a_derived_stream_is_held_but_not_imagined() -> None:
    twice = Stream("twice", 1, 1, derive=lambda values: 2 * values[BALL.name])
    session = begun(model=Line(Oracle((MOVE, BALL, twice))))
    assert set(session.imagine(Schedule.joint(1)).values) == {MOVE.name, BALL.name}
    assert all("twice" in w.levels and "twice" not in w.values for w in session.backbone.heard)
    with pytest.raises(ValueError, match="twice: values are given"):
        session.imagine(Schedule.forward(1), {MOVE.name: moves(1), "twice": moves(1)})


# -- a base prediction ------------------------------------------------------------------------------------------------


@dataclass
class Still:
    """Expects that the ball stays; knows where a known move leads; carries on how often it was asked to."""

    asked: list[Window] = field(default_factory=list)
    redraws: bool = False

    def remember(self, values: Values, before: Values, carried: Tensor | None) -> Tensor:
        return torch.zeros(1, 1) if carried is None else carried + 1

    def complete(self, values: Values, carried: Tensor | None, given: Values) -> Values:
        return {**given, BALL.name: values[BALL.name] + given[MOVE.name]} if MOVE.name in given else given

    def __call__(self, newest: Values, carried: Tensor | None, question: Window, condition: Condition) -> Values:
        self.asked.append(question)
        return {BALL.name: newest[BALL.name]}


@pytest.fixture
def still() -> Iterator[Session[Line]]:
    yield begun(model=Line(Oracle((MOVE, BALL)), base=Still()))


def test_answers_are_changes_of_the_base_prediction(still: Session[Line]) -> None:
    close(still.imagine(Schedule.joint(2)).values[BALL.name], HERE + (HERE + SPEED))  # the oracle knows of no base
    clip = still.imagine(Schedule.joint(1), length=2).values  # of every step of a clip, from the newest that is known
    close(clip[BALL.name], [HERE + (HERE + SPEED), HERE + (HERE + 2 * SPEED)])


def test_what_follows_from_what_is_given_is_given_too(still: Session[Line]) -> None:
    dream = still.imagine(Schedule.forward(1), {MOVE.name: moves(4)})
    close(dream.values[BALL.name], HERE + 4)
    assert set(dream.schedule.walks(still.backbone.streams)[BALL.name]) == {GIVEN}
    assert len(still.backbone.heard) == 3 and still.backbone.heard[-1].levels[BALL.name].item() == GIVEN
    features = still.features(Tap(), Schedule((1.0,), (0.0,)), {MOVE.name: moves(4)})
    close(features[BALL.name], [HERE + 4, GIVEN])


def test_the_base_prediction_is_made_again_where_something_else_is_given(still: Session[Line]) -> None:
    base = still.model.base
    still.imagine(Schedule.joint(4))
    assert len(base.asked) == 1
    still.imagine(Schedule.in_turn(2, 2))
    assert [w.levels[BALL.name].item() for w in base.asked[1:]] == [1, 0]


def test_what_is_carried_on_follows_every_step_and_goes_back_with_the_session(still: Session[Line]) -> None:
    for _ in range(3):
        still.append(still.imagine(Schedule.joint(1)).values, imagined=True)
    assert [b.carried.item() for b in still.blocks] == [0, 1, 2, 3, 4]
    still.rewind(2)
    assert still.append(still.last.values).carried.item() == 3


def test_without_noise_a_question_starts_from_zeros_and_the_session_stays_as_it_was() -> None:
    session = Session(Line(), ["1"])
    session.observe(sight(3.0))
    for asked, silent in ((session.without_noise().fork(2), True), (session.fork(2), False)):
        session.backbone.heard.clear()
        asked.imagine(Schedule.forward(1), {MOVE.name: moves([1.0, 2.0])[0].view(2, 1, 1)})
        assert (not session.backbone.heard[0].values[BALL.name].any()) == silent
