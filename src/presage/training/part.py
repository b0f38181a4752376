"""Teach a part of the model on its own: a short training at a constant and then falling rate, with a moving average of
the weights and a state that survives `kill -9`."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from presage.episodes.mixture import Drawn, Mixture
from presage.episodes.windows import Windows
from presage.training.data import Rows
from presage.training.fingerprint import Fingerprint, settings
from presage.training.resume import load_state, save_state, step_generator


@dataclass(frozen=True)
class PartTraining:
    steps: int
    batch: int
    lr: float
    weight_decay: float
    cooldown: float
    """Last share of the steps in which the rate falls linearly to zero."""
    seed: int = 0
    save_every: int = 1000


def gather(
    parts: Sequence[Rows], source_B: np.ndarray, columns: Callable[[Rows, np.ndarray], tuple[np.ndarray, ...]]
) -> list[Tensor]:
    """Columns (B, ...) of windows of several datasets, in the order in which they were drawn.

    columns: those of the windows `chosen` (B,) bool, which are of `rows`.
    """
    drawn = np.unique(source_B)  # a dataset of little or no weight may have no window in a batch
    grouped = [columns(parts[i], source_B == i) for i in drawn]
    place = np.argsort(np.argsort(source_B, kind="stable"))
    return [torch.from_numpy(np.concatenate(column)[place]) for column in zip(*grouped, strict=True)]


def teach(
    part: nn.Module,
    loss: Callable[[Drawn, torch.Generator], Tensor],
    parts: Sequence[tuple[Rows, float]],
    window: int,
    training: PartTraining,
    out: Path,
    name: str,
    made_from: Fingerprint,
) -> None:
    """Fit `part` in place to what `loss` says of windows of `window` rows, and leave it frozen. Resumes from `out`.

    made_from: all that the weights follow from, except `training`.

    Raises:
        UserError: `out` holds what was made from something else.
    """
    made = made_from | settings(training, steps="--part-steps")
    part.requires_grad_(True)
    betas = (0.9, 0.95)
    decay = training.weight_decay
    optimizer = torch.optim.AdamW(part.parameters(), lr=training.lr, weight_decay=decay, betas=betas, fused=True)
    ema = {k: v.detach().clone() for k, v in part.named_parameters()}
    run = load_state(out, part, ema, optimizer, made)
    step, began = run["step"], time.monotonic() - run["seconds"]
    windows = [Windows(rows.length, window, seed=training.seed) for rows, _ in parts]
    mixture = Mixture(windows, [weight for _, weight in parts], training.seed)
    if step:
        mixture.load_state(run["data"])
    bar = tqdm(total=training.steps, initial=step, desc=f"train {name}", unit="step")
    recent: list[float] = []
    while step < training.steps:
        left = (training.steps - step) / (training.cooldown * training.steps)
        for group in optimizer.param_groups:
            group["lr"] = training.lr * min(1.0, (step + 1) / 100, left)
        error = loss(mixture.sample(training.batch), step_generator(training.seed, step))
        error.backward()
        nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        with torch.no_grad():
            for key, value in part.named_parameters():
                ema[key].lerp_(value, 0.01 if step > 100 else 0.2)
        recent.append(error.item())
        if step % 20 == 0:
            bar.set_postfix_str(f"loss {np.mean(recent):.5f}", refresh=False)
            recent = []
        bar.update()
        if step % training.save_every == 0 or step == training.steps:
            state = {"step": step, "seconds": time.monotonic() - began, "data": mixture.state()}
            save_state(out, part, ema, optimizer, state, made)
    bar.close()
    part.load_state_dict(ema)
    part.requires_grad_(False)
