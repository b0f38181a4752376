"""The image codec is fitted to what matters, and its decoder can go on alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

import presage.training.codec as module
from presage.codecs.image import ImageCodec, ImageCodecConfig
from presage.episodes.dataset import Dataset
from presage.training.codec import (
    CodecTraining,
    _made_from,
    deviation_weight,
    fit_statistics,
    mean_pictures,
    measure,
    scaled,
    train_codec,
)
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


def test_pixels_that_differ_from_the_mean_picture_of_their_task_weigh_more() -> None:
    frames = np.zeros((4, 1, 8, 8, 3), np.uint8)
    frames[1], frames[2:] = 100, 200
    means = mean_pictures(frames, np.array([0, 0, 1, 1]))
    assert means.shape == (2, 1, 8, 8, 3) and (means[0] == 50).all() and (means[1] == 200).all()
    grey = scaled(torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 2, 2, 3))  # of each colour
    assert grey.shape == (1, 3, 2, 2) and grey[0, :, 0, 0].tolist() == pytest.approx([-1.0, -0.6, 1.0])
    mean = torch.zeros(1, 3, 8, 8)
    image = mean.clone()
    image[:, 1, :, 4:] = -1.0  # one colour of the right half
    weight = deviation_weight(image, mean, attention=15.0)
    assert weight.shape == (1, 1, 8, 8)
    assert (weight[..., :3] == 1).all() and (weight[..., 4:] == 16).all()


def test_latents_are_measured_over_all_rows_and_one_that_never_changes_is_not_divided_by_nothing() -> None:
    torch.manual_seed(0)
    codec = ImageCodec(CONFIG)
    frames = np.random.default_rng(0).integers(0, 255, (130, 1, 32, 32, 3)).astype(np.uint8)
    frames[64] = 0  # the only dark one: every row counts
    fit_statistics(codec, frames)
    with torch.no_grad():
        grid = codec.grid_from_images(torch.from_numpy(frames[:, 0]))
    torch.testing.assert_close(codec.mean, grid.mean((0, 2, 3)))
    torch.testing.assert_close(codec.std, grid.std((0, 2, 3)))
    for weight in codec.encoder.parameters():
        torch.nn.init.zeros_(weight)
    fit_statistics(codec, frames)
    assert torch.equal(codec.std, torch.full_like(codec.std, 1e-4))


def test_statistics_that_were_half_written_are_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(tensors: dict[str, torch.Tensor], file: Path) -> None:
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    codec, frames = ImageCodec(CONFIG), np.random.default_rng(0).integers(0, 255, (4, 1, 32, 32, 3)).astype(np.uint8)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "write_weights", dies)
        measure(codec, frames, tmp_path / "latents.safetensors")
    measure(codec, frames, tmp_path / "latents.safetensors")
    again = ImageCodec(CONFIG)
    measure(again, frames, tmp_path / "latents.safetensors")
    assert torch.equal(again.mean, codec.mean) and torch.equal(again.std, codec.std)


def test_a_codec_is_made_from_its_masks() -> None:
    masks = np.zeros((2, 1, 8), np.uint8)
    made = [_made_from(CONFIG, each)["masks"].value for each in (None, masks, masks + 1)]
    assert made[0] == "none" and len(set(made)) == 3
