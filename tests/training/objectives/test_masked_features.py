"""Masked features: what is predicted, and from what."""

from pathlib import Path

import torch

from presage.codecs.features import FeatureCodec, FeatureConfig
from presage.networks.composed import Composed
from presage.networks.packed import Packed
from presage.networks.transformer import Transformer, TransformerConfig
from presage.timeline.corruption import Regress
from presage.timeline.streams import Stream
from presage.training.batch import Batch
from presage.training.loop import Optimiser
from presage.training.objectives.masked_features import MaskedFeatures, masks
from presage.training.recorded import Recorded, shape_of
from presage.training.stage import Stage, train_stages
from tests.recorded import SIZE, moving_square


def model_of(recorded: Recorded) -> Composed:
    torch.manual_seed(0)
    codec = FeatureCodec(FeatureConfig(SIZE, patch=4, width=16, layers=1, heads=2, predictor=1))
    streams = [Stream("features", codec.config.tokens, codec.config.token_dim, Regress("l1"), source="image.front")]
    network = Transformer(TransformerConfig(width=16, layers=1, heads=2, streams=streams))
    return Composed(streams, {"image.front": codec}, Packed(network, streams, 1), shape_of(recorded), 1)


def test_every_patch_is_in_a_mask_once_and_what_is_hidden_lies_together() -> None:
    order = masks(64, 8, torch.Generator().manual_seed(0))
    assert torch.equal(order.sort(1).values, torch.arange(64).expand(64, -1))
    hidden = torch.zeros(64, 64).scatter_(1, order[:, 26:], 1.0).view(64, 8, 8)
    beside = (hidden[:, 1:] == hidden[:, :-1]).float().mean()
    assert beside > 0.75  # of masks without a shape 0.52 are


def test_the_answer_does_not_depend_on_hidden_pixels_and_the_target_has_no_gradient() -> None:
    model = model_of(moving_square(2))
    codec = model.codec("image.front")
    assert isinstance(codec, FeatureCodec)
    shown = torch.randint(0, 255, (2, 2, SIZE, SIZE, 3), dtype=torch.uint8)
    batch = Batch({}, torch.zeros(2, 256), torch.ones(2, 2, dtype=torch.bool), pictures={"image.front": shown})
    model.requires_grad_(True)
    terms = MaskedFeatures(follow=0.0)(model, batch, torch.Generator().manual_seed(0))
    terms["image.front"].mean.backward()
    assert all(p.grad is None for p in codec.target.parameters())
    assert all(p.grad is not None for p in (*codec.encoder.parameters(), *codec.predictor.read.parameters()))


def test_colours_are_those_of_hidden_patches() -> None:
    model = model_of(moving_square(2))
    codec = model.codec("image.front")
    assert isinstance(codec, FeatureCodec)
    torch.nn.init.zeros_(codec.predictor.colours.weight)
    torch.nn.init.constant_(codec.predictor.colours.bias, 1.0)  # white
    white = torch.full((1, 2, SIZE, SIZE, 3), 255, dtype=torch.uint8)
    batch = Batch({}, torch.zeros(1, 256), torch.ones(1, 2, dtype=torch.bool), pictures={"image.front": white})
    black = Batch({}, batch.text, batch.exists, pictures={"image.front": torch.zeros_like(white)})
    ask = MaskedFeatures(follow=0.0, colours=True)
    terms = {n: ask(model, x, torch.Generator().manual_seed(0)) for n, x in (("white", batch), ("black", black))}
    assert set(terms["white"]) == {"image.front", "image.front.colours"}
    assert float(terms["white"]["image.front.colours"].mean.detach()) < 1e-6
    torch.testing.assert_close(float(terms["black"]["image.front.colours"].mean.detach()), 2.0)


def test_training_makes_features_predictable_and_leaves_the_target_as_what_encodes(tmp_path: Path) -> None:
    recorded = moving_square(12)
    model = model_of(recorded)
    optimiser = Optimiser(steps=40, batch=16, warmup=5, log_every=10)
    stage = Stage("encode", MaskedFeatures(follow=0.02), ("codecs",), window=2, optimiser=optimiser, raw=True)
    before = model.encode_pictures("image.front", recorded.frames["image.front"][:4])
    train_stages(model, [stage], {"labelled": recorded}, tmp_path, {}, quiet=True)
    log = (tmp_path / "encode" / "log.jsonl").read_text().splitlines()
    first, last = (float(line.split('"loss": ')[1].split(",")[0]) for line in (log[0], log[-1]))
    assert last < 0.8 * first
    assert not torch.allclose(before, model.encode_pictures("image.front", recorded.frames["image.front"][:4]))
