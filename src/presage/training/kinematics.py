"""Teach kinematics alone, before the world model: the next state from states and executed chunks, without a frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from presage.networks.kinematics import CHANGE, Kinematics
from presage.networks.world_model import WorldModel
from presage.timeline.streams import STATE
from presage.training.data import Rows
from presage.training.losses import absolute_error
from presage.training.part import Drawn, PartTraining, teach


@dataclass(frozen=True)
class KinematicsTraining(PartTraining):
    steps: int = 10000
    batch: int = 512
    lr: float = 2e-3
    weight_decay: float = 1e-4
    cooldown: float = 0.7


@dataclass(frozen=True)
class Triples:
    """B windows of three rows: the past, now, and what is asked for."""

    state: Tensor
    """(B, 3, S)"""
    action: Tensor
    """(B, 2, A) after the first two"""
    valid: Tensor
    """(B, 2) those actions were recorded and executed, and led to a row of the same episode"""
    has: Tensor
    """(B, S) numbers that the robot of a window has"""

    def to(self, device: torch.device) -> "Triples":
        return Triples(*(x.to(device) for x in (self.state, self.action, self.valid, self.has)))


def triples(parts: Sequence[Rows], drawn: Drawn) -> Triples:
    """The windows of three rows that were drawn."""
    source, index, is_pad = drawn
    columns = []
    for i, rows in enumerate(parts):
        mine, pad = index[source == i], is_pad[source == i]
        valid = rows.action_valid[mine[:, :2]] & ~pad[:, :2] & ~pad[:, 1:]
        numbers = rows.state.shape[1]
        has = np.repeat(rows.has.get(STATE, np.ones(numbers, bool))[None], len(mine), 0)
        columns.append((rows.state[mine], rows.action[mine[:, :2]], valid, has))
    return Triples(*[torch.from_numpy(np.concatenate(column)) for column in zip(*columns, strict=True)])


def kinematics_loss(kinematics: Kinematics, batch: Triples) -> Tensor:
    """Absolute error of the third state, and of the second, before which nothing is known: as where a dream begins. A robot
    that was just reset does not answer as one that moves, and only first rows know that."""
    before = (batch.state[:, 0], batch.action[:, 0], batch.valid[:, 0])
    third = kinematics(batch.state[:, 1], batch.action[:, 1], before)
    second = kinematics(batch.state[:, 0], batch.action[:, 0])
    out, truth = torch.stack([second, third], 1)[:, :, None], batch.state[:, 1:, None]
    error = absolute_error(out, truth, CHANGE / 20, batch.has[:, None, None])
    return (error * batch.valid).sum() / batch.valid.sum().clamp(min=1)


def train_kinematics(
    model: WorldModel, parts: Sequence[tuple[Rows, float]], training: KinematicsTraining, out: Path
) -> None:
    """Fit the kinematics of `model` in place; a model without a state is left as it is. Resumes from `out`."""
    kinematics = model.kinematics
    if kinematics is None:
        return
    rows = [r for r, _ in parts]

    def loss(drawn: Drawn, _: torch.Generator) -> Tensor:
        return kinematics_loss(kinematics, triples(rows, drawn).to(model.device))

    torch.manual_seed(training.seed)
    teach(kinematics, loss, parts, 3, training, out, "kinematics")
