"""A decoder learns from what truly came, and its frozen model reads it as a session would."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from presage.networks.composed import Composed
from presage.networks.packed import Packed
from presage.policy.features import told
from presage.systems.lab.probes import Pairs, session_of
from presage.systems.mimic_video import CLIP, FRAMES, PAST, random, tap_of
from presage.systems.system import DEBUG
from presage.timeline.backbone import Condition, Output, Tap, Window
from presage.timeline.levels import Uniform
from presage.training.objectives.decode import Decode, hidden_states
from presage.training.recorded import shape_of
from tests.recorded import batch_of, moving_square

RECORDED = moving_square(episodes=4, rows=8)


@pytest.fixture
def model() -> Composed:
    torch.manual_seed(0)
    return random(shape_of(RECORDED), DEBUG).build(shape_of(RECORDED))


def test_unlabelled_chunks_count_nothing_and_only_the_head_learns(model: Composed) -> None:
    rows = np.arange(8)[None] + 8 * np.arange(4)[:, None]
    drawn = np.zeros(4, int), rows, np.zeros((4, 8), bool)
    decode = Decode(tap_of(DEBUG), 3, Uniform(0.5))
    free = decode(model, batch_of(model, [RECORDED.without_labels([1])], drawn), torch.Generator().manual_seed(0))
    assert free["action"].weight[:, 0].tolist() == [1, 0, 1, 1]
    free["action"].mean.backward()
    assert all(p.grad is None for p in model.network.parameters())
    assert any(p.grad is not None for p in model.parts["head"].parameters())
    last = np.arange(8)[None].repeat(4, 0) > np.array([[7], [7], [0], [7]])  # of the third nothing came after row 0
    cut = decode(model, batch_of(model, [RECORDED], (np.zeros(4, int), rows, last)), torch.Generator().manual_seed(0))
    assert cut["action"].weight[:, 0].tolist() == [1, 1, 0, 1]
    with pytest.raises(ValueError, match="needs windows of more rows than 3"):
        decode(model, batch_of(model, [RECORDED], (drawn[0], rows[:, :3], drawn[2][:, :3])), torch.Generator())


@torch.inference_mode()
def test_what_is_trained_is_what_a_session_reads(model: Composed) -> None:
    """Of a clean clip, which needs no noise, after one frame."""
    model.eval()
    frames = RECORDED.frames["image.front"]
    clip = {"image.front": model.encode_pictures("image.front", frames[[1, 2, 9, 10, 17, 18]]).unflatten(0, (3, 2))}
    session = session_of(model, Pairs(RECORDED, np.array([0, 8, 16])))
    values, zeros = {"image.front": session.last.values["image.front"][:, None]}, torch.zeros(3, 1)
    history = Window(values, {"image.front": zeros}, zeros.long(), remember=True)
    condition = Condition(session.condition.text)
    past = model.backbone([history], model.backbone.start(3), condition).memory
    read = hidden_states(model.backbone, past, condition, clip, torch.zeros(3), 0, Tap(tap_of(DEBUG)))
    torch.testing.assert_close(read, told(session, clip, 0.0, tap_of(DEBUG)))


def test_a_video_model_learns_after_as_many_rows_as_a_session_may_have(
    model: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window of 5 + 4 rows: 1 to 5 rows of history, and always 4 rows of clip."""
    shown: list[list[list[int]]] = []
    forward = Packed.forward

    def watched(self: Packed, windows: Sequence[Window], *rest: Any) -> Output:
        shown.append([w.steps[0].tolist() for w in windows])
        return forward(self, windows, *rest)

    monkeypatch.setattr(Packed, "forward", watched)
    rows = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 7]] * 2)
    batch = batch_of(model, [RECORDED], (np.zeros(2, int), rows, np.zeros((2, 9), bool)))
    for seed in range(12):
        terms = CLIP(model, batch, torch.Generator().manual_seed(seed))
        history, clip = shown[-1]
        assert history == list(range(len(history))) and clip == list(range(len(history), len(history) + FRAMES))
        assert terms["image.front"].error.shape == (2, FRAMES)
    assert {len(history) for history, _ in shown} == set(range(1, PAST + 1))
