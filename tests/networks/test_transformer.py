"""The network: what it must not see, and what it must not depend on."""

import numpy as np
import pytest
import torch
from tests.timeline.test_attention import tokens_of
from tests.tiny import tiny_chunk, tiny_model, tiny_observation

from presage.errors import UserError
from presage.networks.packed import KV
from presage.networks.world_model import WorldModel
from presage.timeline.attention import teacher_forced
from presage.timeline.backbone import Condition


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return tiny_model()


def test_a_missing_stream_is_a_mask_not_a_value(model: WorldModel) -> None:
    text, level = Condition(torch.zeros(2, 256)), torch.ones(2, 1)
    missing = torch.ones(2, 1, dtype=torch.bool)
    a = model.network.embed("action", torch.zeros(2, 1, 1, 16), level, text, missing_BN=missing)
    b = model.network.embed("action", torch.full((2, 1, 1, 16), 9.0), level, text, missing_BN=missing)
    assert torch.equal(a, b)


def test_quality_conditions_the_action_and_unknown_is_a_third_value(model: WorldModel) -> None:
    text, level, x = Condition(torch.zeros(1, 256)), torch.ones(1, 1), torch.zeros(1, 1, 1, 16)
    good, bad, unknown = (
        model.network.embed("action", x, level, text, torch.tensor([[q]])) for q in (1.0, 0.0, float("nan"))
    )
    assert not torch.equal(good, bad) and not torch.equal(good, unknown)
    assert torch.equal(unknown, model.network.embed("action", x, level, text))


def test_only_differences_of_time_matter(model: WorldModel) -> None:
    """Rotary embedding of absolute steps: shifting all of them changes nothing, so eviction re-indexes
    nothing."""
    early, late = tokens_of(model.streams, [0, 1], 0), tokens_of(model.streams, [1000, 1001], 0)
    x = torch.randn(1, len(early.step), model.config.width)
    mask = teacher_forced(3)(early, early)
    a, _ = model.network(x, early.step, mask)
    b, _ = model.network(x, late.step, mask)
    torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_cached_keys_and_values_stand_for_their_tokens(model: WorldModel) -> None:
    steps = tokens_of(model.streams, [0, 1], 0).step
    n = len(steps)
    x = torch.randn(2, n, model.config.width)
    mask = torch.ones(n, n, dtype=torch.bool).tril()
    whole, kv = model.network(x, steps, mask)
    half = n // 2
    past = KV(kv.keys[..., :half, :], kv.values[..., :half, :])
    rest, _ = model.network(x[:, half:], steps[half:], mask[half:], past)
    torch.testing.assert_close(rest, whole[:, half:], atol=1e-5, rtol=0)


def test_wrong_sizes_name_the_field_and_both_shapes(model: WorldModel) -> None:
    with pytest.raises(UserError, match=r"action chunk has shape \(4, 3\).*\(4, 4\)"):
        model.encode_action(np.zeros((1, 4, 3), np.float32))
    with pytest.raises(UserError, match="state has 5 numbers"):
        model.encode_state(np.zeros((1, 5), np.float32))
    observation = tiny_observation(1)
    with pytest.raises(UserError, match="'image.top'"):
        model.encode_images({k: v for k, v in observation.items() if k != "image.top"})
    with pytest.raises(UserError, match="64"):
        model.encode_images(tiny_observation(1, size=64))


def test_actions_come_back_from_their_tokens(model: WorldModel) -> None:
    chunk = tiny_chunk(3)
    np.testing.assert_allclose(model.decode_action(model.encode_action(chunk)), chunk, atol=1e-6)
