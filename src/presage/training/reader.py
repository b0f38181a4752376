"""Teach the scene reader alone, before the world model around it: the expert's chunk and the progress, from one frame.

A network that sees a whole frame at once learns places from a quarter of a million frames in minutes, at a hundredth of
what the same frames cost the transformer, which then only has to listen to it.

Shapes: B rows, C numbers per token, D width of a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from presage.networks.reader import SceneReader
from presage.networks.world_model import WorldModel
from presage.timeline.streams import ACTION, PROGRESS, SCENE
from presage.training.data import Rows, mixed_batch
from presage.training.fingerprint import Fingerprint
from presage.training.losses import BETA, Batch, absolute_error
from presage.training.part import Drawn, PartTraining, teach


@dataclass(frozen=True)
class ReaderTraining(PartTraining):
    steps: int = 5000
    batch: int = 256
    lr: float = 1e-3
    weight_decay: float = 0.05
    cooldown: float = 0.5
    noise: float = 0.2
    """Frames are noised up to this level: what is read must survive what a dream or a codec gets wrong."""


class Taught(nn.Module):
    """The reader, and a layer that reads progress from its token, which is thrown away."""

    def __init__(self, reader: SceneReader, token: int) -> None:
        super().__init__()
        self.reader = reader
        self.progress = nn.Linear(token, 1)


def reader_loss(model: WorldModel, taught: Taught, batch: Batch, noise: float, generator: torch.Generator) -> Tensor:
    """Absolute error of the expert's chunk and squared error of the progress, of windows of one row."""
    frame = model.with_views(batch.values)[SCENE]
    level = noise * torch.rand(len(frame), 1, 1, 1, generator=generator).to(frame.device)
    frame = frame + level * torch.randn(frame.shape, generator=generator).to(frame.device)
    token = taught.reader(frame, batch.text)
    error = absolute_error(taught.reader.action(token), batch.values[ACTION], BETA[ACTION], batch.has.get(ACTION))
    weight = (batch.action_valid & ~(batch.quality < 0.5)).float()
    progress = (taught.progress(token) - batch.values[PROGRESS]).square().mean((2, 3))
    known = (batch.progress_valid & batch.frame_valid).float()
    return (error * weight).sum() / weight.sum().clamp(min=1) + (progress * known).sum() / known.sum().clamp(min=1)


def train_reader(
    model: WorldModel, parts: Sequence[tuple[Rows, float]], training: ReaderTraining, out: Path, made_from: Fingerprint
) -> None:
    """Fit the reader of `model` in place; a model without one is left as it is. Resumes from `out`."""
    if not any(s.is_view for s in model.streams):
        return
    reader = model.network.inputs[SCENE]
    assert isinstance(reader, SceneReader)
    torch.manual_seed(training.seed)
    taught = Taught(reader, model.config.width).to(model.device)
    rows = [r for r, _ in parts]

    def loss(drawn: Drawn, generator: torch.Generator) -> Tensor:
        batch = mixed_batch(rows, model, *drawn).to(model.device)
        return reader_loss(model, taught, batch, training.noise, generator)

    teach(taught, loss, parts, 1, training, out, "reader", made_from)
