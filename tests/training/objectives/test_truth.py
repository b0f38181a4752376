"""A network that knows its world makes no error: what is asked for is what was recorded, at its own step.

ball[i + 1] = ball[i] + move[i]        row i holds the ball, and the move that was made after it was seen
"""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from presage.timeline.backbone import Condition, Output, Window
from presage.timeline.levels import GIVEN, UNKNOWN, Levels, Role, Uniform
from presage.timeline.streams import Values
from presage.training.batch import Batch, Terms
from presage.training.objectives.denoise import ALONE, Denoise
from presage.training.objectives.rollout import ROLLOUT, Rollout
from presage.training.objectives.unroll import Unroll
from tests.timeline.oracle import BALL, MOVE, Line, Oracle

MOVES = torch.tensor([[3.0, -1.0, 4.0, 7.0], [2.0, 6.0, -5.0, 7.0]])
BALLS = torch.tensor([[10.0, 13.0, 12.0, 16.0], [0.0, 2.0, 8.0, 3.0]])


def batch() -> Batch:
    values = {MOVE.name: MOVES[..., None, None], BALL.name: BALLS[..., None, None]}
    return Batch(values, torch.ones(2, 1), torch.ones(2, 4, dtype=torch.bool))


class Asked(Oracle):
    """Answers what it is asked for alone, as networks do."""

    def __call__(self, windows: Any, *rest: Any) -> Output:
        out = super().__call__(windows, *rest)
        levels = [{} if w.remember else w.levels for w in windows]
        raw = [{n: x for n, x in r.items() if n in k and k[n].any()} for r, k in zip(out.raw, levels, strict=True)]
        return replace(out, raw=raw)


def ask(objective: Denoise | Rollout, data: Batch) -> tuple[Terms, Oracle]:
    network = Asked((MOVE, BALL))
    return objective(Line(network), data, torch.Generator().manual_seed(0)), network


CLIPS = {MOVE.name: Role(GIVEN, UNKNOWN), BALL.name: Role(UNKNOWN, GIVEN)}


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_asked_for_what_led_to_each_of_its_steps_and_what_was_seen_there(name: str) -> None:
    terms, _ = ask(Denoise(Levels((CLIPS[name],)), clip=True), batch())
    assert set(terms) == {name} and terms[name].weight.all()
    assert terms[name].error.shape == (2, 3) and not terms[name].error.any()


def test_a_rollout_is_asked_for_what_was_seen_at_its_last_step() -> None:
    for seed in range(4):  # each begins at another row
        terms = Rollout(2)(Line(Asked((MOVE, BALL))), batch(), torch.Generator().manual_seed(seed))
        error = terms[BALL.name + ROLLOUT]
        assert error.weight.all() and not error.error.any()


def test_a_question_that_is_given_all_shows_the_move_that_led_to_its_step() -> None:
    """And a question for the move alone is after every row, for the move that was made there."""
    objective = Denoise(Levels((Role(GIVEN, GIVEN),)), alone=Uniform(high=0.0))
    _, alone, asked = ask(objective, batch())[1].heard
    assert torch.equal(alone.values[MOVE.name], batch().values[MOVE.name])
    assert alone.steps[0].tolist() == [1, 2, 3, 4]
    assert torch.equal(asked.values[MOVE.name][..., 0, 0], MOVES[:, :-1])
    assert torch.equal(asked.values[BALL.name][..., 0, 0], BALLS[:, 1:])
    assert asked.steps[0].tolist() == [1, 2, 3]


def test_the_error_of_a_move_is_how_far_the_answer_is_from_what_was_done_at_that_row() -> None:
    """The oracle always moves by 1, as it was told."""
    terms, _ = ask(Denoise(alone=Uniform(1.0)), batch())
    torch.testing.assert_close(terms[MOVE.name + ALONE].error, (MOVES - 1).square())


def test_some_windows_are_told_no_words_and_some_not_how_well_the_robot_behaves() -> None:
    """A robot that stands still makes an error of the speed that the oracle was told."""
    many = Batch({name: torch.zeros(200, 4, 1, 1) for name in (MOVE.name, BALL.name)}, torch.full((200, 1), 3.0),
                 torch.ones(200, 4, dtype=torch.bool), quality=torch.ones(200, 4))  # fmt: skip
    terms, network = ask(Denoise(alone=Uniform(1.0), drop_text=0.2, drop_quality=0.6), many)
    error, quality = terms[MOVE.name + ALONE].error, network.heard[1].quality
    assert error.unique().tolist() == [0, 9] and 20 < (error[:, 0] == 0).sum() < 60
    assert quality is not None and 100 < quality[:, 0].isnan().sum() < 140
    assert torch.equal(error, error[:, :1].expand(-1, 4))  # of all its rows
    assert torch.equal(quality.isnan(), quality[:, :1].isnan().expand(-1, 4))


def test_a_move_that_nobody_recorded_is_missing_in_the_step_that_it_led_to() -> None:
    recorded = torch.tensor([[True, False, True, True], [True, True, True, False]])
    objective = Denoise(Levels((Role(UNKNOWN, GIVEN),)))
    history, asked = ask(objective, replace(batch(), present={MOVE.name: recorded}))[1].heard
    led_to = torch.cat([torch.zeros(2, 1, dtype=torch.bool), recorded[:, :-1]], 1)  # nothing led to the first
    assert torch.equal(history.present[MOVE.name], led_to)
    assert torch.equal(history.levels[MOVE.name], 1 - led_to.float())
    assert torch.equal(asked.present[MOVE.name], led_to[:, 1:])
    assert torch.equal(asked.levels[MOVE.name], 1 - led_to[:, 1:].float())


def test_a_rollout_is_told_that_a_move_nobody_recorded_is_unknown() -> None:
    nowhere = torch.zeros(2, 4, dtype=torch.bool)
    terms, network = ask(Rollout(2), replace(batch(), present={MOVE.name: nowhere}))
    questions = [w for w in network.heard if not w.remember]
    assert len(questions) == 2
    assert all((w.levels[MOVE.name] == UNKNOWN).all() and not w.present[MOVE.name].any() for w in questions)
    assert not terms[MOVE.name + ROLLOUT].weight.any()


FORWARD = Denoise(Levels((Role(UNKNOWN, GIVEN),)))


def test_an_unrolled_window_shows_its_past_alone_and_makes_no_error_either() -> None:
    """What it begins with is a run of rows that ends before the first question, and no later one; moves are told by
    the questions."""
    begins = set()
    for seed in range(20):
        network = Asked((MOVE, BALL))
        unroll = Unroll(FORWARD, past=2, own=1.0, short=0.7)
        terms = unroll(Line(network), batch(), torch.Generator().manual_seed(seed))
        assert terms[BALL.name].weight.all() and not terms[BALL.name].error.any()
        rows = [w for w in network.heard if w.remember]
        assert all(set(w.values) == {BALL.name} for w in rows)
        begins.add(tuple(w.steps[0].item() for w in rows))
    assert begins == {(0, 1, 2), (1, 2), (2,)}


def test_some_unrolled_windows_are_told_no_words() -> None:
    """The speed, of which a robot that stands still makes an error."""
    still = Batch({name: torch.zeros(200, 4, 1, 1) for name in (MOVE.name, BALL.name)}, torch.full((200, 1), 3.0),
                  torch.ones(200, 4, dtype=torch.bool))  # fmt: skip
    for share, low, high in ((0.2, 20, 60), (0.0, 0, 0)):
        unroll = Unroll(replace(FORWARD, drop_text=share), past=1, alone=Uniform(1.0))
        error = unroll(Line(Asked((MOVE, BALL))), still, torch.Generator())[MOVE.name + ALONE].error[:, 0]
        assert ((error == 0) | (error == 9)).all() and low <= (error == 0).sum() <= high


@dataclass
class Counting:
    """Expects nothing, and carries on how many steps were felt in a row."""

    carried: list[Tensor] = field(default_factory=list)
    redraws: bool = False

    def remember(self, values: Values, before: Values, carried: Tensor | None) -> Tensor:
        return torch.zeros(2, 1) if carried is None else carried + 1

    def complete(self, values: Values, carried: Tensor | None, given: Values) -> Values:
        return given

    def __call__(self, newest: Values, carried: Tensor | None, question: Window, condition: Condition) -> Values:
        assert carried is not None
        self.carried.append(carried[..., 0])
        return {}


def test_nothing_is_carried_on_over_a_move_that_nobody_recorded() -> None:
    recorded = torch.tensor([[True, False, True, True], [True, True, True, False]])
    base = Counting()
    model, data = Line(Asked((MOVE, BALL)), base=base), replace(batch(), present={MOVE.name: recorded})
    Denoise(Levels((Role(UNKNOWN, GIVEN),)), alone=Uniform(1.0))(model, data, torch.Generator())
    alone, asked = base.carried  # after every row, and after all but the last
    assert alone.tolist() == [[0, 1, 0, 1], [0, 1, 2, 3]] and torch.equal(asked, alone[:, :-1])
