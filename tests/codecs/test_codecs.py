"""Every raw stream comes back from its latent."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays

from presage.codecs.image import ImageCodec, ImageCodecConfig
from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.codecs.text import embed_text
from presage.errors import UserError


@given(images=arrays(np.uint8, (2, 16, 16, 3)))
def test_the_pixel_codec_is_lossless(images: np.ndarray) -> None:
    codec = PixelCodec(PixelCodecConfig(size=16, patch=8))
    tokens = codec.encode(torch.from_numpy(images))
    assert tokens.shape == (2, codec.config.tokens, codec.config.token_dim)
    np.testing.assert_array_equal(codec.decode(tokens).numpy(), images)


def test_a_pixel_token_is_one_patch_of_the_picture() -> None:
    images = torch.zeros(1, 16, 16, 3, dtype=torch.uint8)
    images[0, 8:, :8] = 255  # the lower left patch
    tokens = PixelCodec(PixelCodecConfig(size=16, patch=8)).encode(images)
    assert [t.mean().item() for t in tokens[0]] == [-1.0, -1.0, 1.0, -1.0]


def test_image_codec_shapes_and_locality() -> None:
    torch.manual_seed(0)
    codec = ImageCodec(ImageCodecConfig(size=32, width=8, blocks=1, latent_channels=4)).eval()
    images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    tokens = codec.encode(images)
    assert tokens.shape == (3, 4, 16)
    assert codec.decode(tokens).shape == images.shape and codec.decode(tokens).dtype == torch.uint8


def test_an_image_codec_learns_one_picture() -> None:
    torch.manual_seed(0)
    codec = ImageCodec(ImageCodecConfig(size=32, width=8, blocks=1, latent_channels=8))
    image = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    image[:, 8:20, 4:16] = torch.tensor([200, 30, 60], dtype=torch.uint8)
    target = image.permute(0, 3, 1, 2).float() / 127.5 - 1
    optimizer = torch.optim.Adam(codec.parameters(), lr=3e-3)
    for _ in range(150):
        loss = (codec.images_from_grid(codec.grid_from_images(image)) - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    decoded = codec.decode(codec.encode(image)).float()
    assert (decoded - image.float()).abs().mean() < 8


def test_an_unseen_paraphrase_lies_nearer_to_its_task_than_to_the_opposite() -> None:
    seen_open, seen_close, new = embed_text(["open the window", "close the window", "please open up that window"])
    assert new @ seen_open > new @ seen_close


def test_text_is_deterministic_and_of_unit_variance() -> None:
    a, b = embed_text(["push the puck to the goal"] * 2)
    np.testing.assert_array_equal(a, b)
    assert a.shape == (256,) and a.dtype == np.float32 and np.square(a).mean() == pytest.approx(1, abs=1e-3)


def test_an_empty_instruction_is_refused() -> None:
    with pytest.raises(UserError, match="instruction is empty"):
        embed_text(["  "])
