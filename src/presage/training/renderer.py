"""Teach the renderer alone: the frame of a row from its state and instruction."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from presage.device import autocast
from presage.networks.world_model import WorldModel
from presage.training.data import Rows
from presage.training.part import Drawn, PartTraining, teach


@dataclass(frozen=True)
class RendererTraining(PartTraining):
    steps: int = 6000
    batch: int = 256
    lr: float = 1e-3
    weight_decay: float = 0.01
    cooldown: float = 0.6


def train_renderer(model: WorldModel, parts: Sequence[tuple[Rows, float]], training: RendererTraining, out: Path) -> None:
    """Fit the renderer of `model` in place; a model without one is left as it is. Resumes from `out`."""
    renderer = model.renderer
    if renderer is None:
        return
    rows = [r for r, _ in parts]

    def loss(drawn: Drawn, _: torch.Generator) -> Tensor:
        source, index = drawn[:2]  # a window of one row has no padding
        columns = []
        for number, part in enumerate(rows):
            i = index[source == number, 0]
            columns.append((part.state[i], part.text[part.instruction[i]], np.asarray(part.latents[i], np.float32)))
        joined = [np.concatenate(column) for column in zip(*columns, strict=True)]
        state, text, frame = (torch.from_numpy(x).to(model.device) for x in joined)
        with autocast(model.device):
            out = renderer(state, text)
        return (out.float() - frame.flatten(1)).square().mean()

    torch.manual_seed(training.seed)
    teach(renderer, loss, parts, 1, training, out, "renderer")
