"""No question is told its own future, nor one that never came."""

from dataclasses import replace

import pytest
import torch

from presage.networks.names import ACTION, STATE
from presage.timeline.corruption import Given
from presage.timeline.levels import Levels, Role
from presage.training.objectives.denoise import ALONE
from tests.tiny import tiny_model
from tests.training.objectives.test_denoise import JOINT, K, modes, plain, random_batch


def test_what_is_always_given_tells_no_question_its_future() -> None:
    model = tiny_model()
    told = [replace(s, corruption=Given()) if s.name == STATE else s for s in model.streams]
    model.streams = told
    with pytest.raises(ValueError, match="stream 'state' is always given"):
        JOINT(model, random_batch(model), torch.Generator().manual_seed(0))
    left_out = replace(JOINT, levels=Levels((Role(K, K, {STATE: None}),)), alone=None)
    assert STATE not in left_out(model, random_batch(model), torch.Generator().manual_seed(0))


def test_what_was_done_last_is_not_asked_beside_a_frame_that_never_came() -> None:
    """Rows of other datasets have a chunk after the last frame; padding repeats that frame."""
    model = tiny_model()
    batch = random_batch(model, n=3)
    batch = replace(batch, exists=batch.exists.clone())
    batch.exists[:, 2] = False
    terms = plain(modes(K)["inverse"][0])(model, batch, torch.Generator().manual_seed(0))
    assert terms[ACTION].weight[:, 1].sum() == 0 < terms[ACTION].weight[:, 0].sum()
    assert terms[ACTION + ALONE].weight[:, 1].sum() > 0, "without any frame it is worth learning"
