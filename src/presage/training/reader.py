"""Train the scene reader alone, before the world model around it: the expert's chunk and the value, from one frame.

A network that sees a whole frame at once learns places from a quarter of a million frames in minutes, at a hundredth of
what the same frames cost the transformer, which then only has to listen to it.

Shapes: B rows, C numbers per token, D width of a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from presage.networks.names import ACTION, SCENE, VALUE
from presage.networks.reader import SceneReader
from presage.networks.world_model import WorldModel
from presage.training.batch import Batch, per_step
from presage.training.data import Rows, mixed_batch
from presage.training.fingerprint import Fingerprint
from presage.training.part import Drawn, PartTraining, train_part


@dataclass(frozen=True)
class ReaderTraining(PartTraining):
    steps: int = 5000
    batch: int = 256
    lr: float = 1e-3
    weight_decay: float = 0.05
    cooldown: float = 0.5
    noise: float = 0.2
    """Frames are noised up to this level: what is read must survive what a dream or a codec gets wrong."""


class Trained(nn.Module):
    """The reader, and a layer that reads the value from its token, which is thrown away."""

    def __init__(self, reader: SceneReader, token: int) -> None:
        super().__init__()
        self.reader = reader
        self.value = nn.Linear(token, 1)


def reader_loss(model: WorldModel, trained: Trained, batch: Batch, noise: float, generator: torch.Generator) -> Tensor:
    """Absolute error of the expert's chunk and squared error of the value, of windows of one row."""
    streams = {s.name: s for s in model.streams}
    whole_frame = streams[SCENE].derive
    assert whole_frame is not None
    frame = whole_frame(batch.values)
    assert frame is not None
    level = noise * torch.rand(len(frame), 1, 1, 1, generator=generator).to(frame.device)
    frame = frame + level * torch.randn(frame.shape, generator=generator).to(frame.device)
    token = trained.reader(frame, batch.text)
    chunk, action = trained.reader.action(token), streams[ACTION]
    level = torch.ones(chunk.shape[:2], device=chunk.device)  # where a sampler starts
    error = action.corruption.error(chunk, batch.values[ACTION], chunk, chunk, level)
    error = per_step(error, batch.has.get(ACTION))
    poor = torch.zeros_like(batch.exists) if batch.quality is None else batch.quality < 0.5
    weight = (batch.there(action) & ~poor).float()
    value = (trained.value(token) - batch.values[VALUE]).square().mean((2, 3))
    known = batch.there(streams[VALUE]).float()
    return (error * weight).sum() / weight.sum().clamp(min=1) + (value * known).sum() / known.sum().clamp(min=1)


def train_reader(
    model: WorldModel, parts: Sequence[tuple[Rows, float]], training: ReaderTraining, out: Path, made_from: Fingerprint
) -> None:
    """Fit the reader of `model` in place; a model without one, and data that say nothing of what
    to do and how it goes, leave it as it is. Resumes from `out`."""
    known = any(r.action_valid.any() or r.value_valid.any() for r, _ in parts)
    if not known or not any(s.derive is not None for s in model.streams):
        return
    reader = model.network.inputs[SCENE]
    assert isinstance(reader, SceneReader)
    torch.manual_seed(training.seed)
    trained = Trained(reader, model.config.width).to(model.device)
    rows = [r for r, _ in parts]

    def loss(drawn: Drawn, generator: torch.Generator) -> Tensor:
        batch = mixed_batch(rows, model, *drawn).to(model.device)
        return reader_loss(model, trained, batch, training.noise, generator)

    train_part(trained, loss, parts, 1, training, out, "reader", made_from)
