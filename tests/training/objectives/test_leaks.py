"""No question is told its own future."""

from dataclasses import replace

import pytest
import torch

from presage.networks.names import STATE
from presage.timeline.corruption import Given
from presage.timeline.levels import Levels, Role
from tests.tiny import tiny_model
from tests.training.objectives.test_denoise import JOINT, K, random_batch


def test_what_is_always_given_tells_no_question_its_future() -> None:
    model = tiny_model()
    told = [replace(s, corruption=Given()) if s.name == STATE else s for s in model.streams]
    model.streams = told
    with pytest.raises(ValueError, match="stream 'state' is always given"):
        JOINT(model, random_batch(model), torch.Generator().manual_seed(0))
    left_out = replace(JOINT, levels=Levels((Role(K, K, {STATE: None}),)), alone=None)
    assert STATE not in left_out(model, random_batch(model), torch.Generator().manual_seed(0))
