"""Train the critic alone: of several chunks from the same state, which leaves the expert the shortest way.

The data say what would have come of each (`presage collect --counterfactuals`): the simulator was put back, the chunk
executed, and then the expert, undisturbed, until success. Recordings of disturbed experts cannot say it: more
disturbances follow each chunk, and that none follows tells by itself that success was near.

Shapes: B rows, M chunks tried from each, A numbers of a chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from presage.networks.world_model import WorldModel
from presage.training.data import Rows, frames_of
from presage.training.fingerprint import Fingerprint
from presage.training.part import Drawn, PartTraining, train_part

SMALL, LARGE = 0.02, 0.2
"""Spreads of Q among a row's chunks: below the first they hardly matter, beyond the second they count no more."""


@dataclass(frozen=True)
class CriticTraining(PartTraining):
    steps: int = 2000
    batch: int = 768
    """Rows drawn; those from which chunks were tried are used."""
    lr: float = 1e-3
    weight_decay: float = 0.05
    cooldown: float = 0.6
    width: int = 256
    noise: float = 0.05
    """Added to all that it reads."""


def critic_loss(q_BM: Tensor, truth_BM: Tensor) -> Tensor:
    """Squared error of how the chunks of a row differ, relative to how much they do: otherwise the few rows in which
    everything is at stake would be all that counts. And a little of the error itself."""
    error = q_BM - truth_BM
    of_differences = (error - error.mean(1, keepdim=True)).square()
    spread = truth_BM.std(1, correction=0, keepdim=True)
    weight = spread.clamp(max=LARGE) / (spread.square() + SMALL**2)
    return (weight * of_differences).mean() + 0.1 * error.square().mean()


def read_rows(rows: Rows, model: WorldModel, at: np.ndarray) -> tuple[Tensor, ...]:
    """What the critic reads (B, M, ...) of the chunks that were tried at rows `at` (B,), and their Q (B, M). The
    robot is taken to have felt nothing before."""
    told = rows.counterfactuals
    assert told is not None
    values = {
        name: x[:, 0].to(model.device) for name, x in frames_of(rows.latents, rows.state, model, at[:, None]).items()
    }
    text = torch.from_numpy(rows.text[rows.instruction[at]]).to(model.device)
    chunks = torch.from_numpy(told.action[at]).to(model.device)
    inputs = model.base.critic_inputs(values, model.base.remember(values, {}, None), text, chunks)
    assert inputs is not None
    return *inputs, torch.from_numpy(told.value[at]).to(model.device)


def train_critic(
    model: WorldModel, parts: Sequence[tuple[Rows, float]], training: CriticTraining, out: Path, made_from: Fingerprint
) -> None:
    """Give `model` a critic, if data hold counterfactuals, and it has a reader and a state. Resumes from `out`."""
    parts = [(rows, weight) for rows, weight in parts if rows.counterfactuals and rows.counterfactuals.known.any()]
    if not parts or model.state_dynamics is None or not any(s.derive is not None for s in model.streams):
        return
    torch.manual_seed(training.seed)
    model.add_critic(training.width)
    critic = model.critic
    assert critic is not None

    def loss(drawn: Drawn, generator: torch.Generator) -> Tensor:
        source, index, _ = drawn
        nothing = 0.0 * torch.stack([p.sum() for p in critic.parameters()]).sum()
        losses, counts = [nothing], [0.0]  # it may be that no row was drawn from which chunks were tried
        for i, (rows, _) in enumerate(parts):  # one by one: each may have tried another number of chunks
            at = index[source == i, 0]
            at = at[rows.counterfactuals.known[at]]  # type: ignore[union-attr]
            if not len(at):
                continue
            *read, truth = read_rows(rows, model, at)
            noise = [training.noise * torch.randn(x.shape, generator=generator).to(x.device) for x in read]
            losses.append(critic_loss(critic(*[x + n for x, n in zip(read, noise, strict=True)]), truth))
            counts.append(float(len(at)))
        return torch.stack(losses) @ torch.tensor(counts, device=model.device) / max(1.0, sum(counts))

    train_part(critic, loss, parts, 1, training, out, "critic", made_from)
