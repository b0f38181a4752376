"""Heads on the model's features."""

import numpy as np
import pytest
import torch
from tests.recorded import moving_square
from tests.tiny import tiny_model, tiny_observation

from presage.codecs.scalars import ScalarCodec
from presage.episodes.dataset import Dataset
from presage.episodes.episode import Episode
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset
from presage.errors import UserError
from presage.networks.composed import Composed, Shape
from presage.policy.grounded import GroundedPolicy
from presage.policy.representation import (
    WIDTH,
    Head,
    HeadConfig,
    dataset_features,
    default_tap,
    equal_head,
    load_head,
    random_twin,
    read_source,
    representation,
    save_head,
    train_head,
    video_features,
)
from presage.systems.checkpoint import open_model
from presage.systems.pad import pad
from presage.systems.reference import reference
from presage.systems.shipped import SHIPPED
from presage.systems.system import DEBUG
from presage.timeline.session import Session
from presage.training.recorded import shape_of


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
    assert load_head(SHIPPED, open_model(SHIPPED), random) is not None


def grounded(model, seed=1):
    session = Session(model, ["open the drawer"] * 2)
    size = model.size
    session.observe(tiny_observation(2, seed=seed, size=size))
    return session


def test_equal_heads_read_what_is_there_without_a_video_model():
    session = grounded(tiny_model())
    latents = read_source(session, "codec", None)
    assert latents.shape == (2, 8, 16)
    assert not torch.equal(latents[0], latents[1])  # of different frames
    token = read_source(session, "reader", None)
    assert token.shape == (2, 1, 32)
    for read in (latents, token, read_source(session, "features", 1)):
        config = equal_head(read, torch.zeros(2, 16), 1)
        assert (config.width, config.queries) == (WIDTH, 4) and Head(config)(read).shape == (2, 1, 16)


def test_the_places_of_latents_are_told():
    """Two frames that differ by where a latent is are two inputs of the head."""
    read = torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(0))
    told = Head(equal_head(read, torch.zeros(1, 4), None))
    assert not torch.allclose(told(read), told(read.flip(1)))
    untold = Head(HeadConfig(16, 4, None))
    torch.testing.assert_close(untold(read), untold(read.flip(1)))


def test_a_head_hears_no_scale():
    """What a source is measured in does not matter to its head."""
    read = torch.randn(20, 8, 16, generator=torch.Generator().manual_seed(0))
    config, actions = equal_head(read, torch.zeros(20, 4), None), read[:, 0, :4]
    small, large = (train_head(config, x, actions, steps=3)(x) for x in (read, 100 * read))
    torch.testing.assert_close(small, large, atol=1e-4, rtol=1e-3)


@pytest.fixture(scope="module")
def pixels() -> Composed:
    """An untrained twin of presage's own model: two cameras of 32 by 32 tokens, one a pixel."""
    codecs = ScalarCodec([0.0] * 16, [1.0] * 16), ScalarCodec([0.0] * 4, [1.0] * 4)
    shape = Shape(("front", "top"), 32, 4, 4, 4, *codecs, 5.0)
    return reference(shape, DEBUG).build(shape).eval()


def test_pixels_are_laid_together_and_none_is_lost(pixels: Composed) -> None:
    read = read_source(grounded(pixels), "codec", None)
    assert read.shape == (2, 2 * 16 * 16, 3 * 2 * 2)  # of two cameras, 1,024 tokens of a pixel each
    frame = tiny_observation(2, seed=1, size=32)["image.front"][0]
    corner = torch.from_numpy(frame[:2, 2:4].reshape(-1)).float() / 127.5 - 1
    torch.testing.assert_close(read[0, 1], corner)  # the second place: two by two pixels, beside the first


def test_features_of_any_network_that_can_be_tapped(pixels: Composed) -> None:
    """The control sees the frame, too: whoever shows it another reads other features, from the same noise."""
    tap = default_tap(pixels)
    assert tap == 3
    for model in (pixels, random_twin(pixels, 3)):
        read, other = (read_source(grounded(model, seed), "features", tap) for seed in (1, 2))
        assert read.shape[:2] == (2, 16 * 16) and not torch.allclose(read, other)
    with pytest.raises(ValueError, match="no scene reader"):
        read_source(grounded(pixels), "reader", None)


def test_a_network_without_layers_to_read_is_refused() -> None:
    shape = shape_of(moving_square(1))
    with pytest.raises(UserError, match="no layer to read features at"):
        default_tap(pad(shape, DEBUG).build(shape))
