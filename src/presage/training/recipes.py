"""Recipes: plain functions from datasets to a checkpoint, in the stages that a first training needs.

    codec, or a published backbone  ->  world model  ->  (behaviour cloning: the baseline, on the same codec and data)

Every stage resumes where it was killed; a stage whose result exists is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from presage.codecs.image import ImageCodec, ImageCodecConfig
from presage.codecs.scalars import ScalarCodec
from presage.device import default_device
from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.networks.wan_model import WanModelConfig, open_wan
from presage.networks.world_model import WorldModel, WorldModelConfig
from presage.training.checkpoint import load_model, save_model
from presage.training.codec import CodecTraining, train_codec
from presage.training.data import Rows, has, load_rows, open_dataset, valid_actions
from presage.training.loop import TrainConfig, train
from presage.training.losses import LossConfig


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a checkpoint."""

    model: WorldModelConfig = field(default_factory=WorldModelConfig)
    codec: CodecTraining = field(default_factory=CodecTraining)
    training: TrainConfig = field(default_factory=TrainConfig)


def metaworld() -> Recipe:
    """The shipped model: ten tasks, two cameras of 64 pixels, chunks of four actions."""
    return Recipe()


def behaviour_cloning() -> Recipe:
    """The baseline: the same codec, network, data and steps, taught the expert's chunks and nothing else. It sees the
    newest frame and the one before it: without a future to predict, a longer past costs time and brought nothing."""
    recipe = metaworld()
    loss = LossConfig(noisy_blocks=0, poor_policy_weight=0.0, drop_quality=0.0, drop_actions=0.0, context_noise=0.0)
    return replace(
        recipe,
        model=replace(recipe.model, window=1),
        training=replace(recipe.training, loss=loss, window=2),
    )


def finetune() -> Recipe:
    """Continue a checkpoint on other or more data: a lower rate that falls from the start, a shorter average."""
    recipe = metaworld()
    training = replace(recipe.training, steps=1500, lr=6e-4, warmup=50, cooldown=1.0, ema=0.99)
    return replace(recipe, training=training)


def backbone() -> Recipe:
    """Fine-tune a published video model (`--backbone`) by LoRA; all of its weights want a tenth of the rate. Rates as
    published for Wan on robot data: 1e-4 with LoRA (Jang et al. 2025, DreamGen), 1e-5 without (LingBot-VA)."""
    recipe = metaworld()
    training = replace(recipe.training, steps=5000, batch=8, lr=1e-4, warmup=100, ema=0.99)
    return replace(recipe, training=training)


def debug() -> Recipe:
    """The whole pipeline in seconds; the result is good for nothing else."""
    model = WorldModelConfig(codec=ImageCodecConfig(width=16, blocks=1, latent_channels=8), width=64, layers=2, heads=2)
    return Recipe(model, CodecTraining(steps=20, batch=8), TrainConfig(steps=20, batch=4, warmup=5, save_every=10))


RECIPES = {
    "metaworld": metaworld,
    "finetune": finetune,
    "backbone": backbone,
    "behaviour_cloning": behaviour_cloning,
    "debug": debug,
}


def fit_codec(recipe: Recipe, dataset: Dataset, out: Path) -> ImageCodec:
    """Stage one: the image codec, in `out/codec`."""
    if not isinstance(recipe.model.codec, ImageCodecConfig):
        raise UserError("only the image codec is trained; the pixel codec needs no stage of its own")
    return train_codec(dataset, recipe.model.cameras, recipe.model.codec, recipe.codec, out / "codec")


def new_model(recipe: Recipe, dataset: Dataset, codec: torch.nn.Module | None) -> WorldModel:
    """A fresh world model whose scalar codecs are fitted on `dataset`, with `codec`'s weights."""
    scalars = fit_scalars(recipe.model, dataset)
    torch.manual_seed(recipe.training.seed)
    model = WorldModel(recipe.model, *scalars).to(default_device())
    if codec is not None:
        model.codec.load_state_dict(codec.state_dict())
    return model


def fit_scalars(config: WorldModelConfig, dataset: Dataset) -> tuple[ScalarCodec, ScalarCodec]:
    """The codecs of action and state, fitted on `dataset`."""
    flat = config.chunk * config.action_dim
    if has(dataset, "action"):
        action = dataset.column("action").reshape(dataset.num_rows, -1)
        action_codec = ScalarCodec.fit(action[valid_actions(dataset)])
        if len(action_codec.center) != flat:
            raise UserError(
                f"{dataset.root}: 'action' has {len(action_codec.center)} numbers a row, the recipe wants {flat}"
            )
    else:
        action_codec = ScalarCodec([0.0] * flat, [1.0] * flat)
    state_codec = ScalarCodec([], [])
    if config.state_dim:
        state_codec = ScalarCodec.fit(dataset.column("observation.state").reshape(dataset.num_rows, -1))
    return action_codec, state_codec


def fit(
    recipe: Recipe,
    datasets: Sequence[tuple[Path, float]],
    out: Path,
    codec_from: Path | None,
    card: str,
    start_from: Path | None = None,
    wan: WanModelConfig | None = None,
) -> Path:
    """Train a checkpoint from nothing (or on the codec of another checkpoint) and write it to `out/model`.

    Args:
        datasets: folders and weights; the first fits the codecs.
        codec_from: a checkpoint whose codec is kept instead of training one.
        card: text of `card.md`.
        start_from: a checkpoint to continue from: its codecs, network and size are kept, whatever the recipe says.
        wan: a published backbone to adapt instead, and the robot it is for.
    """
    opened = [(open_dataset(path), weight) for path, weight in datasets]
    first = opened[0][0]
    if start_from is not None:
        model = load_model(start_from)
    elif wan is not None:
        scalars = fit_scalars(wan, first)
        torch.manual_seed(recipe.training.seed)
        model = open_wan(wan, *scalars)
    elif codec_from is not None:
        source = load_model(codec_from)
        recipe = replace(recipe, model=replace(recipe.model, codec=source.config.codec))
        model = new_model(recipe, first, source.codec)
    else:
        model = new_model(recipe, first, fit_codec(recipe, first, out))
    parts: list[tuple[Rows, float]] = [(load_rows(d, model), w) for d, w in opened]
    train(model, parts, recipe.training, out / "state")
    return save_model(model, out / "model", card)
