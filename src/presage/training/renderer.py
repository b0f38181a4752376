"""Train the renderer alone: the next frames of a window, from the first one and all states."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from presage.device import autocast
from presage.networks.renderer import Renderer
from presage.networks.world_model import WorldModel
from presage.training.data import Rows
from presage.training.fingerprint import Fingerprint
from presage.training.part import Drawn, PartTraining, gather, train_part

STRIDES = (1, 1, 2, 4)
"""Rows between the frames of a window, drawn: what is far apart differs in more than what moves in a step."""
FRAMES = 4
"""Of a window. Each is carried from the one before as it was carried, so that errors which would add up are unlearned.
"""


@dataclass(frozen=True)
class RendererTraining(PartTraining):
    steps: int = 6000
    batch: int = 96
    lr: float = 1e-3
    weight_decay: float = 0.01
    cooldown: float = 0.6


@dataclass(frozen=True)
class Sequences:
    """B windows of `FRAMES` rows at equal distances."""

    frame: Tensor
    """(B, N, F)"""
    state: Tensor
    """(B, N, S)"""
    text: Tensor
    """(B, E)"""
    valid: Tensor
    """(B, N) False where the row is padding past the episode's end"""

    def to(self, device: torch.device) -> "Sequences":
        return Sequences(*(x.to(device) for x in (self.frame, self.state, self.text, self.valid)))


def sequences(parts: Sequence[Rows], drawn: Drawn, stride_B: np.ndarray) -> Sequences:
    """Every so many-th row of the windows that were drawn."""
    source, index, is_pad = drawn
    kept = stride_B[:, None] * np.arange(FRAMES)
    index, is_pad = (np.take_along_axis(x, kept, 1) for x in (index, is_pad))

    def columns(rows: Rows, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
        mine = index[chosen]
        frame = np.asarray(rows.latents[mine.ravel()], np.float32).reshape(
            *mine.shape, int(np.prod(rows.latents.shape[1:]))
        )
        return frame, rows.state[mine], rows.text[rows.instruction[mine[:, 0]]], ~is_pad[chosen]

    return Sequences(*gather(parts, source, columns))


def renderer_loss(renderer: Renderer, batch: Sequences) -> Tensor:
    """Squared error of all frames but the first, carried one from the other."""
    frame, errors = batch.frame[:, 0], []
    for i in range(1, batch.state.shape[1]):
        frame = renderer.carry(frame, batch.state[:, i - 1], batch.state[:, i], batch.text)
        errors.append((frame - batch.frame[:, i]).square().mean(1))
    valid = batch.valid[:, 1:]
    return (torch.stack(errors, 1) * valid).sum() / valid.sum().clamp(min=1)


def train_renderer(
    model: WorldModel,
    parts: Sequence[tuple[Rows, float]],
    training: RendererTraining,
    out: Path,
    made_from: Fingerprint,
) -> None:
    """Fit the renderer of `model` in place; a model without one is left as it is. Resumes from `out`."""
    renderer = model.renderer
    if renderer is None:
        return
    rows = [r for r, _ in parts]

    def loss(drawn: Drawn, generator: torch.Generator) -> Tensor:
        stride = torch.tensor(STRIDES)[torch.randint(len(STRIDES), (training.batch,), generator=generator)].numpy()
        batch = sequences(rows, drawn, stride).to(model.device)
        with autocast(model.device):
            return renderer_loss(renderer, batch)

    torch.manual_seed(training.seed)
    train_part(renderer, loss, parts, (FRAMES - 1) * max(STRIDES) + 1, training, out, "renderer", made_from)
