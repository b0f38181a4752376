"""Teach the scene reader alone, before the world model around it: the expert's chunk and the progress, from one frame.

A network that sees a whole frame at once learns places from a quarter of a million frames in minutes, at a hundredth of
what the same frames cost the transformer, which then only has to listen to it.

Shapes: B rows, C numbers per token, D width of a token.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from presage.episodes.mixture import Mixture
from presage.episodes.windows import Windows
from presage.networks.reader import SceneReader
from presage.networks.world_model import WorldModel
from presage.timeline.streams import ACTION, PROGRESS, SCENE
from presage.training.data import Rows, mixed_batch
from presage.training.losses import BETA, Batch, absolute_error
from presage.training.resume import load_state, save_state, step_generator


@dataclass(frozen=True)
class ReaderTraining:
    steps: int = 5000
    batch: int = 256
    lr: float = 1e-3
    noise: float = 0.2
    """Frames are noised up to this level: what is read must survive what a dream or a codec gets wrong."""
    seed: int = 0
    save_every: int = 500


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


def train_reader(model: WorldModel, parts: list[tuple[Rows, float]], training: ReaderTraining, out: Path) -> None:
    """Fit the reader of `model` in place; a model without one is left as it is. Resumes from `out`."""
    if not any(s.is_view for s in model.streams):
        return
    reader = model.network.inputs[SCENE]
    assert isinstance(reader, SceneReader)
    reader.requires_grad_(True)
    torch.manual_seed(training.seed)
    taught = Taught(reader, model.config.width).to(model.device)
    optimizer = torch.optim.AdamW(taught.parameters(), lr=training.lr, weight_decay=0.05, betas=(0.9, 0.95), fused=True)
    ema = {k: v.detach().clone() for k, v in taught.named_parameters()}
    run = load_state(out, taught, ema, optimizer)
    step, began = run["step"], time.monotonic() - run["seconds"]
    mixture = Mixture(
        [Windows(rows.length, 1, seed=training.seed) for rows, _ in parts], [weight for _, weight in parts], training.seed
    )
    if step:
        mixture.load_state(run["data"])
    bar = tqdm(total=training.steps, initial=step, desc="train reader", unit="step")
    recent: list[float] = []
    while step < training.steps:
        rate = training.lr * min(1.0, (step + 1) / 100, (training.steps - step) / (0.5 * training.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = mixed_batch([r for r, _ in parts], model, *mixture.sample(training.batch)).to(model.device)
        loss = reader_loss(model, taught, batch, training.noise, step_generator(training.seed, step))
        loss.backward()
        nn.utils.clip_grad_norm_(taught.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        with torch.no_grad():
            for name, value in taught.named_parameters():
                ema[name].lerp_(value, 0.01 if step > 100 else 0.2)
        recent.append(loss.item())
        if step % 20 == 0:
            bar.set_postfix_str(f"loss {np.mean(recent):.4f}", refresh=False)
            recent = []
        bar.update()
        if step % training.save_every == 0 or step == training.steps:
            state = {"step": step, "seconds": time.monotonic() - began, "data": mixture.state()}
            save_state(out, taught, ema, optimizer, state)
    bar.close()
    taught.load_state_dict(ema)
    reader.requires_grad_(False)
