"""Fit the image codec: squared error, weighted where a frame differs from the mean picture of its task, and where it
shows what the task is about.

The background is most of every frame and learned in minutes; gripper, object and goal are a few dozen pixels that
decide everything. They are among those that deviate from the mean over their instruction, which every dataset knows;
most of those show the arm. A dataset whose episodes can be simulated again tells them apart (worlds/masks.py).
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from presage.codecs.image import ImageCodec, ImageCodecConfig
from presage.device import autocast, default_device
from presage.episodes.cache import frame_cache
from presage.episodes.dataset import Dataset
from presage.episodes.mixture import Drawn, Mixture
from presage.episodes.windows import Windows
from presage.errors import UserError
from presage.training.batch import Terms, one_term
from presage.training.checkpoint import write_weights
from presage.training.fingerprint import Entry, Fingerprint, entry, hash_of, settings
from presage.training.loop import Optimiser, optimise
from presage.worlds.masks import can_replay, object_masks, unpack


@dataclass(frozen=True)
class CodecTraining(Optimiser):
    steps: int = 3000
    batch: int = 48
    warmup: int = 50
    ema: float = 0.99
    weight_decay: float = 1e-4
    save_every: int = 200
    attention: float = 15.0
    """Weight of a fully deviating pixel, on top of 1."""
    objects: float = 40.0
    """Weight of a pixel of gripper, object or goal on top of that, where masks can be had; 0 does without."""


def mean_pictures(frames: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean frame (groups, cameras, S, S, 3) float32 of each group of rows; at most 300 rows a group are read."""
    out = np.zeros((group.max() + 1, *frames.shape[1:]), np.float32)
    for g in range(len(out)):
        rows = np.flatnonzero(group == g)
        out[g] = np.mean(frames[rows[:: max(1, len(rows) // 300)]], axis=0, dtype=np.float32)
    return out


def scaled(pictures: Tensor) -> Tensor:
    """Pictures (..., S, S, 3) of 0 to 255 as (..., 3, S, S) in [-1, 1]."""
    return pictures.movedim(-1, -3).float() / 127.5 - 1


def deviation_weight(image: Tensor, mean: Tensor, attention: float) -> Tensor:
    """Weight (B, 1, S, S) of images and mean pictures (B, 3, S, S), both in [-1, 1]."""
    deviation = (image - mean).abs().amax(1, keepdim=True)
    return 1 + attention * (3 * F.avg_pool2d(deviation, 3, 1, 1)).clamp(max=1)


def train_codec(
    dataset: Dataset,
    cameras: list[str],
    config: ImageCodecConfig,
    training: CodecTraining,
    out: Path,
    made_from: Fingerprint,
    trained: ImageCodec | None = None,
) -> ImageCodec:
    """Train on all rows of `dataset` and fill the latent statistics. Resumes from `out` if it holds a state.

    made_from: all that the weights follow from, except `config` and `training`. trained: continue the decoder of this
    codec, and leave its latents as they are.

    Raises:
        UserError: `out` holds what was made from something else.
    """
    device = default_device()
    frames = frame_cache(dataset, cameras, config.size)
    names = sorted({str(e.info.get("task", e.instruction)) for e in dataset.episodes})
    of_episode = [names.index(str(e.info.get("task", e.instruction))) for e in dataset.episodes]
    group = np.repeat(of_episode, [e.length for e in dataset.episodes])
    means = scaled(torch.from_numpy(mean_pictures(frames, group)).to(device))

    masks = _masks(dataset, cameras, config.size) if training.objects else None
    made = made_from | _made_from(config, masks) | {"steps": entry("--codec-steps", training.steps)}

    torch.manual_seed(training.seed)
    codec = ImageCodec(config).to(device)
    if trained is not None:
        codec.load_state_dict(trained.state_dict())
        codec.encoder.requires_grad_(False)

    def objective(drawn: Drawn, generator: torch.Generator) -> Terms:
        row = drawn[1][:, 0]
        camera = torch.randint(len(cameras), (len(row),), generator=generator).numpy()
        image_u8 = torch.from_numpy(np.stack([frames[r, c] for r, c in zip(row, camera, strict=True)])).to(device)
        grid = codec.grid_from_images(image_u8)
        spread = grid.detach().float().std()
        noise = torch.randn(grid.shape, generator=generator).to(device) * spread * config.latent_noise
        output = codec.images_from_grid(grid + noise).float()
        image = scaled(image_u8)
        weight = deviation_weight(image, means[group[row], camera], training.attention)
        if masks is not None:
            shown = unpack(np.stack([masks[r, c] for r, c in zip(row, camera, strict=True)]))
            weight = weight + training.objects * torch.from_numpy(shown).to(device)[:, None]
        loss = ((output - image).square() * weight).sum() / weight.sum() / 3
        return one_term(loss + 1e-5 * grid.float().square().mean())  # keeps the scale of latents from wandering

    rows = Mixture([Windows([len(frames)], 1, seed=training.seed)], [1.0], training.seed)
    optimise(codec, objective, rows, {"*": 1.0}, training, out, made, "train codec")
    if trained is None:
        measure(codec, frames, out / "latents.safetensors")
    return codec.requires_grad_(True).eval()


def measure(codec: ImageCodec, frames: np.ndarray, file: Path) -> None:
    """Fill the statistics of latents, once: on another machine they would be others by a rounding."""
    if file.exists():
        kept = load_file(file)
        codec.mean.copy_(kept["mean"])
        codec.std.copy_(kept["std"])
        return
    fit_statistics(codec, frames)
    partial = file.with_name(f"{file.name}.partial")
    write_weights({"mean": codec.mean.cpu(), "std": codec.std.cpu()}, partial)
    os.replace(partial, file)


def _made_from(config: ImageCodecConfig, masks: np.memmap | None) -> Fingerprint:
    made = {f"codec.{name}": value for name, value in settings(config).items()}
    return made | {"masks": Entry("none" if masks is None else hash_of(masks), "masks of objects")}


def _masks(dataset: Dataset, cameras: list[str], size: int) -> np.memmap | None:
    try:
        return object_masks(dataset, cameras, size) if can_replay(dataset) else None
    except UserError as error:
        print(f"presage: objects get no weight of their own in the codec's loss: {error}", file=sys.stderr)
        return None


@torch.no_grad()
def fit_statistics(codec: ImageCodec, frames: np.ndarray) -> None:
    """Fill the latents' mean and standard deviation per channel from up to 2,000 rows."""
    rows = np.linspace(0, len(frames) - 1, min(2000, len(frames))).astype(int)
    device = codec.mean.device
    grids = []
    for i in range(0, len(rows), 64):
        part = torch.from_numpy(np.array(frames[rows[i : i + 64]])).flatten(0, 1).to(device)
        with autocast(device):
            grids.append(codec.grid_from_images(part).float())
    grid = torch.cat(grids)
    codec.mean.copy_(grid.mean((0, 2, 3)))
    codec.std.copy_(grid.std((0, 2, 3)).clamp(min=1e-4))
