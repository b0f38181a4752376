"""Train state dynamics alone, before the world model: the next states from states and executed chunks, without
a frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from presage.networks.names import STATE
from presage.networks.state_dynamics import CHANGE, StateDynamics
from presage.networks.world_model import WorldModel
from presage.training.batch import per_step
from presage.training.data import Rows
from presage.training.fingerprint import Fingerprint
from presage.training.part import Drawn, PartTraining, gather, train_part

ROWS = 33
"""Of a window: what holds a hand back shows after dozens of steps."""
FRESH = 0.3
"""Share of windows that begin with their episode, and are followed from its first row alone, as a dream of it is: a
robot that was just reset does not answer as one that moves. The others see true states for a while, as a session does.
"""


@dataclass(frozen=True)
class StateDynamicsTraining(PartTraining):
    steps: int = 3000
    batch: int = 128
    lr: float = 2e-3
    weight_decay: float = 1e-3
    cooldown: float = 0.7


@dataclass(frozen=True)
class Tracks:
    """B windows of N rows."""

    state: Tensor
    """(B, N, S)"""
    action: Tensor
    """(B, N, A) after each row"""
    valid: Tensor
    """(B, N) the row is there, and all actions before it were recorded and executed"""
    has: Tensor
    """(B, S) numbers that the robot of a window has"""

    def to(self, device: torch.device) -> "Tracks":
        return Tracks(*(x.to(device) for x in (self.state, self.action, self.valid, self.has)))


def tracks(parts: Sequence[Rows], drawn: Drawn, fresh: np.ndarray) -> Tracks:
    """The windows that were drawn; those `fresh` (B,) moved to the beginning of their episode."""
    source, index, is_pad = drawn

    def columns(rows: Rows, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
        mine, pad, moved = (x[chosen] for x in (index, is_pad, fresh))
        episode = np.searchsorted(rows.start, mine[moved, 0], side="right") - 1
        last = (rows.start + rows.length - 1)[episode, None]
        first = rows.start[episode, None] + np.arange(mine.shape[1])
        mine[moved], pad[moved] = np.minimum(first, last), first > last
        led_here = np.roll(rows.action_valid[mine], 1, 1)
        led_here[:, 0] = True
        valid = np.logical_and.accumulate(led_here & ~pad, 1)
        numbers = rows.state.shape[1]
        has = np.repeat(rows.has.get(STATE, np.ones(numbers, bool))[None], len(mine), 0)
        return rows.state[mine], rows.action[mine], valid, has

    return Tracks(*gather(parts, source, columns))


def state_dynamics_loss(state_dynamics: StateDynamics, batch: Tracks, told_B: Tensor) -> Tensor:
    """Absolute error of all states but the first; of every window so many are `told`, the others follow from each
    other."""
    state = batch.state[:, 0]
    memory, reached = state_dynamics.blank(state), []
    for i in range(1, batch.state.shape[1]):
        action = batch.action[:, i - 1]
        led_to = state_dynamics(state, action, memory)
        reached.append(led_to)
        now = torch.where((i < told_B)[:, None], batch.state[:, i], led_to)
        memory = state_dynamics.remember(state, action, now, memory)
        state = now
    out, truth = torch.stack(reached, 1)[:, :, None], batch.state[:, 1:, None]
    error = per_step(F.smooth_l1_loss(out, truth, beta=CHANGE / 20, reduction="none"), batch.has[:, None, None])
    valid = batch.valid[:, 1:]
    return (error * valid).sum() / valid.sum().clamp(min=1)


def train_state_dynamics(
    model: WorldModel,
    parts: Sequence[tuple[Rows, float]],
    training: StateDynamicsTraining,
    out: Path,
    made_from: Fingerprint,
) -> None:
    """Fit the state dynamics of `model` in place; a model without a state, and data without actions, leave it
    as it is. Resumes from `out`."""
    state_dynamics = model.state_dynamics
    if state_dynamics is None or not any(r.action_valid.any() for r, _ in parts):
        return
    rows = [r for r, _ in parts]

    def loss(drawn: Drawn, generator: torch.Generator) -> Tensor:
        fresh = torch.rand(training.batch, generator=generator) < FRESH
        told = torch.where(fresh, 1, torch.randint(1, ROWS, (training.batch,), generator=generator))
        batch = tracks(rows, drawn, fresh.numpy()).to(model.device)
        return state_dynamics_loss(state_dynamics, batch, told.to(model.device))

    torch.manual_seed(training.seed)
    train_part(state_dynamics, loss, parts, ROWS, training, out, "state_dynamics", made_from)
