"""The masked-feature encoder."""

import numpy as np
import pytest
import torch
from torch import nn

from presage.codecs.features import FeatureCodec, FeatureConfig, merged

CONFIG = FeatureConfig(size=16, patch=4, width=16, layers=1, heads=2, predictor=1)


def pictures(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 255, (count, 16, 16, 3), np.uint8))


def test_tokens_are_layer_normed_patches_that_lie_together() -> None:
    codec = FeatureCodec(CONFIG)
    tokens = codec.encode(pictures(3))
    assert tokens.shape == (3, CONFIG.tokens, CONFIG.token_dim) == (3, 4, 64)
    patches = tokens.unflatten(2, (16, 4))  # of each token: numbers of a patch, then the four patches
    torch.testing.assert_close(patches.mean(2), torch.zeros(3, 4, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(patches.var(2, correction=0), torch.ones(3, 4, 4), atol=1e-3, rtol=0)
    number = torch.arange(16.0).view(1, 16, 1)  # of a 4 x 4 grid
    assert merged(number, 2)[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_the_encoder_reads_visible_patches_alone() -> None:
    codec, images = FeatureCodec(CONFIG), pictures(1)
    changed = images.clone()
    changed[:, :4, :4] = 0  # patch 0
    visible = torch.tensor([[3, 7, 9]])
    torch.testing.assert_close(codec.encoder(images, visible), codec.encoder(changed, visible))
    assert not torch.allclose(codec.encoder(images), codec.encoder(changed))


def test_the_target_follows_and_is_what_encodes() -> None:
    codec, images = FeatureCodec(CONFIG), pictures(2)
    before = codec.encode(images)
    with torch.no_grad():
        codec.encoder.patches.weight.add_(0.5)
    torch.testing.assert_close(codec.encode(images), before)
    start = nn.utils.parameters_to_vector(codec.target.parameters())
    codec.follow(0.25)
    moved = nn.utils.parameters_to_vector(codec.target.parameters()) - start
    apart = nn.utils.parameters_to_vector(codec.encoder.parameters()) - start
    torch.testing.assert_close(moved, 0.25 * apart)
    assert not torch.allclose(codec.encode(images), before)


def test_features_hold_no_picture_and_pictures_must_fit_the_grid() -> None:
    with pytest.raises(ValueError, match="hold no picture"):
        FeatureCodec(CONFIG).decode(torch.zeros(1, 4, 64))
    with pytest.raises(ValueError, match="no grid of 2 x 8"):
        FeatureConfig(size=40)
