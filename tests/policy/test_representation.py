"""Heads on the model's features."""

import numpy as np
import pytest
import torch
from tests.tiny import tiny_model, tiny_observation

from presage.episodes.dataset import Dataset
from presage.episodes.episode import Episode
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset
from presage.errors import UserError
from presage.policy.grounded import GroundedPolicy
from presage.policy.representation import (
    Head,
    HeadConfig,
    dataset_features,
    default_tap,
    load_head,
    random_twin,
    read_source,
    representation,
    save_head,
    train_head,
    video_features,
)
from presage.systems.shipped import SHIPPED
from presage.timeline.session import Session
from presage.training.checkpoint import load_model


def recorded(root, lengths=(3, 2)):
    """A dataset of random episodes at `root`; the chunk after row 1 is poor."""
    for episode, length in enumerate(lengths):
        observation, rng = tiny_observation(length, seed=episode), np.random.default_rng(episode)
        columns = {
            "action": rng.uniform(-1, 1, (length, 16)).astype(np.float32),
            "action.valid": np.arange(length) < length - 1,
            "quality": np.where(np.arange(length) == 1, 0.0, 1.0).astype(np.float32),
            "observation.state": observation["state"],
        }
        frames = {camera: observation[f"image.{camera}"] for camera in ("front", "top")}
        spool_episode(root.with_name("spool"), f"{episode}", Episode(frames, columns, "open the drawer"), 5.0)
    return Dataset(write_dataset(root.with_name("spool"), root, fps=5.0, robot_type="none"))


def test_features_are_those_that_a_policy_would_see(tmp_path):
    model, dataset = tiny_model(), recorded(tmp_path / "data")
    features, actions = dataset_features(model, dataset, [0, 1], tap=1, batch=2)
    assert features.shape == (2, 8, 32)  # of each episode row 0; row 1 is poor or the last
    for found, action, episode in zip(features, actions, (1, 0), strict=True):  # the shortest episode comes first
        session = Session(model, ["open the drawer"], seed=episode)  # whatever is beside it in a batch
        row = dataset.episodes[episode].start
        frame = {f"image.{c}": dataset.frames(episode, c)[:1] for c in ("front", "top")}
        session.observe({**frame, "state": dataset.column("observation.state")[row : row + 1]})
        np.testing.assert_allclose(found.float(), video_features(session, tap=1)[0], atol=1e-2)
        np.testing.assert_allclose(action, dataset.column("action")[row], atol=1e-6)


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
    save_head(tmp_path, head, model)
    assert load_head(tmp_path, model, random=True) is None
    loaded = load_head(tmp_path, model)
    x = torch.randn(2, 8, 32)
    torch.testing.assert_close(loaded(x), head(x), atol=2e-2, rtol=2e-2)
    with pytest.raises(UserError, match="fitted to other weights"):
        load_head(tmp_path, tiny_model(seed=1))
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


@pytest.mark.parametrize("random", [False, True])
def test_the_shipped_heads_are_of_the_shipped_weights(random: bool) -> None:
    assert load_head(SHIPPED, load_model(SHIPPED), random) is not None


def test_equal_heads_read_what_is_there_without_a_video_model():
    model = tiny_model()
    session = Session(model, ["open the drawer"] * 2)
    session.observe(tiny_observation(2, seed=1))
    latents = read_source(session, "codec", 1, 64)
    assert latents.shape == (2, 8, 64)
    assert not torch.equal(latents[0], latents[1])  # of different frames
    assert read_source(session, "reader", 1, 32).shape == (2, 1, 32)
    with pytest.raises(ValueError, match="do not fit into 16"):
        read_source(session, "codec", 1, 16)


def test_the_places_of_latents_are_told():
    """A frame whose latents are all alike is still as many different tokens."""
    model = tiny_model()
    session = Session(model, ["open the drawer"])
    session.observe({name: x * 0 for name, x in tiny_observation(1).items()})
    assert len(read_source(session, "codec", 1, 64)[0].unique(dim=0)) == 8
