"""Heads on the model's features."""

import numpy as np
import pytest
import torch
from tests.tiny import tiny_model, tiny_observation

from presage.errors import UserError
from presage.policy.grounded import GroundedPolicy
from presage.policy.representation import (
    Head,
    HeadConfig,
    dataset_features,
    default_tap,
    load_head,
    random_twin,
    representation,
    save_head,
    train_head,
)
from presage.timeline.session import Session
from presage.training.data import Rows


def some_rows(model, lengths=(4, 6)):
    rng = np.random.default_rng(0)
    n = sum(lengths)
    observation = tiny_observation(n)
    tokens = model.encode_images(observation)
    latents = torch.stack([tokens["video.front"], tokens["video.top"]], 1).numpy()
    start = np.cumsum([0, *lengths[:-1]])
    ends = start + np.array(lengths) - 1
    valid = np.ones(n, bool)
    valid[ends] = False
    return Rows(
        latents,
        observation["state"],
        rng.uniform(-1, 1, (n, 16)).astype(np.float32),
        valid,
        np.where(np.arange(n) == 1, 0.0, 1.0).astype(np.float32),
        np.zeros(n, np.float32),
        True,
        np.repeat(np.arange(len(lengths)), lengths),
        start,
        np.array(lengths),
        model.embed_text(["open the drawer"] * len(lengths)).numpy(),
    ), observation


def test_features_are_those_that_a_policy_would_see():
    model = tiny_model()
    rows, observation = some_rows(model, (3,))
    model_session = Session(model, ["open the drawer"], seed=0)
    expected = []
    for t in range(2):
        executed = None if t == 0 else model.action_codec.decode(rows.action[t - 1 : t]).reshape(1, 4, 4)
        model_session.observe({k: v[t : t + 1] for k, v in observation.items()}, executed)
        if rows.quality[t] == 1:
            expected.append(model_session.features(tap=1))
    features, actions = dataset_features(model, rows, [0], tap=1)
    assert features.shape == (1, 8, 32) and actions.shape == (1, 16)  # row 1 is poor, row 2 the last
    np.testing.assert_allclose(features.float(), torch.cat(expected), atol=1e-2)
    assert np.array_equal(actions[0], rows.action[0])


def test_a_head_learns_what_features_tell():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, 8, 32, generator=generator)
    actions = features[:, 0, :16]
    head = train_head(HeadConfig(32, 16, 1), features, actions, steps=150, batch=32)
    with torch.no_grad():
        error = (head(features)[:, 0] - actions).square().mean()
    assert error < 0.7 * actions.square().mean()


def test_heads_are_kept_in_the_checkpoint(tmp_path):
    model = tiny_model()
    assert load_head(tmp_path, model) is None
    head = Head(HeadConfig(32, 16, default_tap(model), random_seed=None)).eval()
    save_head(tmp_path, head)
    assert load_head(tmp_path, model, random=True) is None
    loaded = load_head(tmp_path, model)
    x = torch.randn(2, 8, 32)
    torch.testing.assert_close(loaded(x), head(x), atol=2e-2, rtol=2e-2)
    path = tmp_path / "representation.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="truncated"):
        load_head(tmp_path, model)


def test_a_head_is_a_policy_and_so_is_its_control():
    model = tiny_model()
    head = Head(HeadConfig(32, 16, default_tap(model))).eval()
    for source in (model, random_twin(model, seed=3)):
        policy = GroundedPolicy(source, representation(head))
        policy.reset(["open the drawer"])
        assert policy.act(tiny_observation(1)).shape == (1, 4, 4)
    twin = random_twin(model, seed=3)
    torch.testing.assert_close(twin.codec.state_dict(), model.codec.state_dict())
    assert not torch.equal(twin.network.positions["action"], model.network.positions["action"])
