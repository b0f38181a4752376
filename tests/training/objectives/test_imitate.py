"""A head learns what was done at a window's last row, from what a session reads that has seen all of its rows.

In this world the robot always does twice what it sees, and the head knows that.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from presage.systems.system import DEBUG
from presage.systems.uwm import uwm
from presage.timeline.levels import Schedule, Uniform
from presage.timeline.session import Session
from presage.timeline.streams import Stream
from presage.training.batch import Batch
from presage.training.objectives.imitate import Imitate, readings
from presage.training.recorded import encoded, shape_of
from tests.recorded import moving_square
from tests.timeline.oracle import BALL, MOVE, Line, Oracle

SEEN = torch.tensor([[1.0, 5.0, 3.0], [7.0, 2.0, -4.0]])
KEPT = Stream("kept", 2, 1)


@dataclass
class Watched(Line):
    parts: dict[str, Any] = field(default_factory=lambda: {"head": twice})


def twice(features: Tensor, text: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
    return 2 * features[:, -1]


def batch(**changes: Any) -> Batch:
    values = {BALL.name: SEEN[..., None, None], MOVE.name: 2 * SEEN[..., None, None]}
    recorded = {MOVE.name: torch.tensor([[True, True, True], [True, True, False]])}
    return Batch({**values, **changes}, torch.ones(2, 1), torch.ones(2, 3, dtype=torch.bool), recorded)


def newest(session: Session) -> Tensor:
    return session.last.values[BALL.name][:, None]


def test_what_was_done_at_the_last_row_is_read_from_a_session_that_has_seen_them_all() -> None:
    read: list[int] = []

    def counted(session: Session) -> Tensor:
        read.append(session.step)
        return newest(session)

    model = Watched(Oracle((MOVE, BALL)))
    (term,) = Imitate(counted, stream=MOVE.name)(model, batch(), torch.Generator()).values()
    assert read == [2] and [w.steps[0].item() for w in model.backbone.heard] == [0, 1, 2]
    assert term.error.tolist() == [[0.0], [0.0]]
    assert term.weight.tolist() == [[1.0], [0.0]]  # nobody recorded what the second robot did there


def test_of_frames_that_were_read_before_the_last_rows_are_taken() -> None:
    """Two frames of one place each, in place of a session."""
    model = Watched(Oracle((MOVE, BALL, KEPT)))
    kept = torch.stack([SEEN + 100, SEEN], -1)[..., None]
    objective = Imitate(newest, kept=KEPT.name, stream=MOVE.name, frames=2)
    (term,) = objective(model, batch(kept=kept), torch.Generator()).values()
    assert not term.error.any() and not model.backbone.heard


def test_a_head_is_asked_at_several_levels_of_one_reading() -> None:
    levels: list[Tensor] = []

    def half(features: Tensor, text: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        levels.append(level)
        return features[:, -1]

    model = replace(Watched(Oracle((MOVE, BALL))), parts={"head": half})
    (term,) = Imitate(newest, stream=MOVE.name, levels=Uniform(1.0), draws=3)(
        model, batch(), torch.Generator()
    ).values()
    assert len(levels) == 3
    torch.testing.assert_close(term.error, SEEN[:, -1:].square())  # the mean of the three, of (2 x - x)


def test_readings_are_made_of_every_labelled_row_once_for_each_draw() -> None:
    """Seven rows in batches of three: what is seen, and some noise, as a stream of their own."""
    recorded = moving_square(episodes=1, rows=7)
    model = uwm(shape_of(recorded), DEBUG).build(shape_of(recorded))

    def read(session: Session) -> Tensor:
        noise = session.imagine(Schedule((1.0,), None)).values["image.front"]
        return torch.cat([session.last.values["image.front"], noise], 2)[:, None]

    made = readings(read, "kept", draws=2, batch=3)(model, {"labelled": recorded})
    kept, shown = made.latents["kept"][:], encoded(model, recorded).latents["image.front"]
    size = shown.shape[2]
    assert np.array_equal(kept[..., :size], np.concatenate([shown, shown]))
    assert len(np.unique(kept[..., size:].reshape(14, -1), axis=0)) == 14  # every row of every draw has its own noise
    assert np.array_equal(made.action, np.concatenate([recorded.action] * 2))
    assert made.length.tolist() == [7, 7]


def test_several_chunks_are_those_of_the_last_rows_and_what_comes_later_is_not_read() -> None:
    read: list[int] = []

    def counted(session: Session) -> Tensor:
        read.append(session.step)
        return newest(session).expand(-1, -1, 2, -1)

    model = Watched(Oracle((MOVE, BALL)), parts={"head": lambda features, *_: 2 * features[:, 0]})
    (term,) = Imitate(counted, stream=MOVE.name, chunks=2)(model, batch(), torch.Generator()).values()
    assert read == [1]  # the last row is the future of the second chunk
    assert not term.error[:, 0].any() and (term.error[:, 1] > 0).all()
    assert term.weight.tolist() == [[1.0, 1.0], [1.0, 0.0]]
