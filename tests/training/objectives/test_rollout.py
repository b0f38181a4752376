"""A rollout trains what a session computes when it dreams."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.device import FP32_VARIABLE
from presage.networks.composed import Composed
from presage.networks.packed import Packed
from presage.networks.transformer import Transformer, TransformerConfig
from presage.networks.unchanged import Unchanged
from presage.timeline.backbone import Base
from presage.timeline.corruption import Regress
from presage.timeline.levels import GIVEN, UNKNOWN, Levels, Role, Schedule
from presage.timeline.session import Session
from presage.timeline.streams import Stream, Values
from presage.training.batch import Batch
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.rollout import ROLLOUT, Rollout
from presage.training.objectives.together import Together
from presage.training.recorded import shape_of
from tests.recorded import ACTIONS, CHUNK, SIZE, batch_of, moving_square

RECORDED = moving_square(4, rows=6)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FP32_VARIABLE, "1")


def model_of(base: Base | None = None) -> Composed:
    torch.manual_seed(0)
    codec = PixelCodec(PixelCodecConfig(SIZE, 8))
    streams = [
        Stream("done", 1, CHUNK * ACTIONS, acts=True, source="action"),
        Stream("seen", codec.config.tokens, codec.config.token_dim, Regress("l1"), source="image.front"),
        Stream("felt", 1, 2, Regress("l1"), source="state"),
    ]
    network = Transformer(TransformerConfig(width=32, layers=2, heads=2, streams=streams))
    for output in network.outputs.values():
        torch.nn.init.normal_(output.weight, std=0.1)
    backbone = Packed(network, streams, 5, from_base=base is not None)
    return Composed(streams, {"image.front": codec}, backbone, shape_of(RECORDED), 5, base=base).eval()


def windows(model: Composed, rows: int, **changes: object) -> Batch:
    """The beginnings of the first two episodes."""
    index = np.array([np.arange(rows), np.arange(rows) + 6])
    return batch_of(model, [replace(RECORDED, **changes)], (np.zeros(2, int), index, np.zeros((2, rows), bool)))


def dreamed(model: Composed, steps: int) -> tuple[Values, Values]:
    """What a session that saw row 0 dreams of row `steps`, and the truth."""
    session = Session(model, torch.from_numpy(RECORDED.text[[0, 0]]))
    seen = {"image.front": RECORDED.frames["image.front"][[0, 6]], "state": RECORDED.state[[0, 6]]}
    session.observe(seen)
    for i in range(steps):
        given = {"done": model.encode_action(RECORDED.action[[i, 6 + i]])}
        values = session.imagine(Schedule.forward(1), given).values
        session.append(values, imagined=True)
    there = {"image.front": RECORDED.frames["image.front"][[steps, 6 + steps]]}
    return values, model.encode(there | {"state": RECORDED.state[[steps, 6 + steps]]})


@pytest.mark.parametrize("base", [None, Unchanged(("seen", "felt"))])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_loss_is_that_of_what_a_session_dreams(steps: int, base: Base | None) -> None:
    model = model_of(base)
    terms = Rollout(steps)(model, windows(model, steps + 1), torch.Generator())
    values, truth = dreamed(model, steps)
    for name in ("seen", "felt"):
        error = (values[name] - truth[name]).abs().mean((1, 2))
        torch.testing.assert_close(terms[name + ROLLOUT].error[:, 0], error, atol=1e-5, rtol=1e-5)
    assert set(terms) == {"seen.rollout", "felt.rollout"}  # an action that is given costs nothing


def test_the_gradient_flows_through_what_was_dreamed() -> None:
    """The action before the last reaches the loss through the step that was appended alone."""
    model = model_of()
    batch = windows(model, 3)
    action = batch.values["done"].requires_grad_(True)
    Rollout(2)(model, batch, torch.Generator())["seen.rollout"].mean.backward()
    assert action.grad is not None and action.grad[:, 0].abs().sum() > 0 and action.grad[:, 2].abs().sum() == 0


def test_what_was_not_recorded_is_not_asked_for_and_windows_must_hold_the_steps() -> None:
    model = model_of()
    there = np.ones(len(RECORDED.action), bool)
    there[2] = False  # the third row of the first episode
    terms = Rollout(2)(model, windows(model, 3, labelled=there), torch.Generator())
    assert terms["felt.rollout"].weight.flatten().tolist() == [0, 1]
    assert terms["seen.rollout"].weight.flatten().tolist() == [1, 1]
    with pytest.raises(ValueError, match="more rows than 2"):
        Rollout(2)(model, windows(model, 2), torch.Generator())


def test_objectives_of_one_stage_stand_side_by_side() -> None:
    model = model_of()
    forward = Denoise(Levels((Role(UNKNOWN, GIVEN),)))
    terms = Together((forward, Rollout(2)))(model, windows(model, 4), torch.Generator())
    assert {"seen", "felt", "seen.rollout", "felt.rollout"} <= set(terms)
    with pytest.raises(ValueError, match="have a term 'felt.rollout'"):
        Together((Rollout(1), Rollout(2)))(model, windows(model, 4), torch.Generator())


def test_teacher_forcing_asks_by_the_query_alone() -> None:
    """A question at level 1 of a stream that is answered in one pass holds nothing of the answer."""
    model = model_of()
    forward = Denoise(Levels((Role(UNKNOWN, GIVEN),)))
    terms = forward(model, windows(model, 2), torch.Generator())
    values, truth = dreamed(model, 1)
    for name in ("seen", "felt"):
        error = (values[name] - truth[name]).abs().mean((1, 2))
        torch.testing.assert_close(terms[name].error[:, 0], error, atol=1e-5, rtol=1e-5)
