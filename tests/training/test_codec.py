"""The image codec is fitted to what matters, and its decoder can go on alone."""

from pathlib import Path

import pytest
import torch

from presage.codecs.image import ImageCodec, ImageCodecConfig
from presage.episodes.dataset import Dataset
from presage.training.codec import CodecTraining, train_codec
from presage.worlds.collect import collect
from presage.worlds.masks import object_masks, unpack

CONFIG = ImageCodecConfig(size=32, width=16, blocks=1, latent_channels=4)
TRAINING = CodecTraining(steps=80, batch=16, save_every=40)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("codec") / "data"
    collect(root, ["reach-v3", "drawer-close-v3"], 2, seed=3, cameras=("top",), size=32, workers=1)
    return Dataset(root)


def object_error(codec: ImageCodec, dataset: Dataset) -> float:
    shown = torch.from_numpy(unpack(object_masks(dataset, ["top"], 32, workers=1))[:, 0]).bool()
    frames = torch.from_numpy(next(iter(dataset.iterate_squares([0], "top", 32))))
    return (codec.decode(codec.encode(frames)).float() - frames)[shown[: len(frames)]].square().mean().item()


def test_objects_are_seen_better_where_masks_can_be_had(dataset: Dataset, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    plain = CodecTraining(steps=80, batch=16, save_every=40, objects=0)
    blind = train_codec(dataset, ["top"], CONFIG, plain, tmp_path / "blind", {})
    seeing = train_codec(dataset, ["top"], CONFIG, TRAINING, tmp_path / "seeing", {})
    assert object_error(seeing, dataset) < 0.9 * object_error(blind, dataset)


def test_a_decoder_that_goes_on_alone_leaves_the_latents_as_they_are(dataset: Dataset, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    before = train_codec(dataset, ["top"], CONFIG, TRAINING, tmp_path / "before", {})
    after = train_codec(dataset, ["top"], CONFIG, TRAINING, tmp_path / "after", {}, trained=before)
    frames = torch.from_numpy(next(iter(dataset.iterate_squares([0], "top", 32))))
    assert torch.equal(before.encode(frames), after.encode(frames))
    assert object_error(after, dataset) < 0.9 * object_error(before, dataset)
