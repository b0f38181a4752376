"""The training loop of the world model: plain steps with a moving average, logs and a state that survives `kill -9`."""

import json
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from presage.device import autocast
from presage.episodes.mixture import Mixture
from presage.episodes.windows import Windows
from presage.errors import UserError
from presage.networks.world_model import WorldModel
from presage.training.data import Rows, mixed_batch
from presage.training.fingerprint import Fingerprint, settings
from presage.training.losses import LossConfig, timeline_loss
from presage.training.resume import load_state, save_state, step_generator, truncate_log


@dataclass(frozen=True)
class TrainConfig:
    steps: int = 5000
    batch: int = 16
    window: int = 4
    """Rows per training window."""
    lr: float = 1e-3
    warmup: int = 200
    cooldown: float = 0.4
    """Last share of the steps in which the rate falls linearly to zero."""
    weight_decay: float = 0.05
    ema: float = 0.998
    seed: int = 0
    save_every: int = 250
    log_every: int = 20
    loss: LossConfig = field(default_factory=LossConfig)


def rate(config: TrainConfig, step: int) -> float:
    """Learning rate of a step: warm-up, constant, linear cool-down."""
    left = (config.steps - step) / max(1.0, config.cooldown * config.steps)
    return config.lr * min(1.0, (step + 1) / config.warmup, left)


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; matrices decay, vectors and embeddings do not. Frozen weights are left out."""
    trained = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    matrices = [p for n, p in trained if p.ndim == 2 and "positions" not in n]
    chosen = {id(p) for p in matrices}
    others = [p for _, p in trained if id(p) not in chosen]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), fused=True)


def train(
    model: WorldModel,
    parts: list[tuple[Rows, float]],
    config: TrainConfig,
    out: Path,
    made_from: Fingerprint,
    quiet: bool = False,
) -> WorldModel:
    """Fit `model.network` on datasets drawn by weight; the codec stays as it is. Resumes from `out`.

    Writes `out/state.safetensors`, `out/log.jsonl` and TensorBoard events in `out/tensorboard`, and returns the model
    with the averaged weights.

    made_from: all that the weights follow from, except `config`.

    Raises:
        UserError: `out` cannot be written, or holds what was made from something else, or fewer steps than were done
            are asked for.
        FloatingPointError: the loss is not finite.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}; choose another --out") from None
    network, device = model.network, model.device
    optimizer = make_optimizer(network, config)
    ema = {k: v.detach().clone() for k, v in network.named_parameters() if v.requires_grad}
    made = made_from | settings(config)
    del made["steps"]  # `lengthened` knows more of them
    run = load_state(out, network, ema, optimizer, made)
    step, began, steps = run["step"], time.monotonic() - run["seconds"], lengthened(run, config, out)
    truncate_log(out / "log.jsonl", step)
    mixture = Mixture(
        [Windows(rows.length, config.window, seed=config.seed) for rows, _ in parts],
        [weight for _, weight in parts],
        config.seed,
    )
    if step:
        mixture.load_state(run["data"])
    network.train()
    from torch.utils.tensorboard import SummaryWriter

    board = SummaryWriter(str(out / "tensorboard"), purge_step=step)
    bar = tqdm(total=config.steps, initial=step, desc="train", unit="step", disable=quiet)
    recent: list[dict[str, Tensor]] = []
    with open(out / "log.jsonl", "a") as log:
        while step < config.steps:
            generator = step_generator(config.seed, step)
            for group in optimizer.param_groups:
                group["lr"] = rate(config, step)
            with autocast(device):
                loss, terms = timeline_loss(
                    model,
                    mixed_batch([r for r, _ in parts], model, *mixture.sample(config.batch)).to(device),
                    config.loss,
                    generator,
                )
            loss.backward()
            norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            if not torch.isfinite(norm):
                raise FloatingPointError(f"step {step}: the gradient is not finite; lower --lr or look at the data")
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            update_ema(ema, network, config.ema, step)
            recent.append(terms)
            if step % config.log_every == 0 or step == config.steps:
                means = {k: float(np.mean([r[k].item() for r in recent])) for k in recent[0]}
                recent = []
                if step <= config.log_every and not any(means.values()):
                    raise UserError(
                        f"every loss is 0 after {step} steps: the data hold nothing to learn; look at inspect"
                    )
                seconds = time.monotonic() - began
                log.write(json.dumps({"step": step, "seconds": round(seconds, 1), **means}) + "\n")
                log.flush()
                for k, v in means.items():
                    board.add_scalar(k, v, step)
                shown = "  ".join(f"{k} {means[k]:.3f}" for k in ("loss", "policy", "action") if k in means)
                bar.set_postfix_str(shown, refresh=False)
            bar.update()
            if step % config.save_every == 0 or step == config.steps:
                run = {"step": step, "seconds": time.monotonic() - began, "data": mixture.state(), "steps": steps}
                save_state(out, network, ema, optimizer, run, made)
    bar.close()
    board.close()
    network.load_state_dict({**network.state_dict(), **ema})
    model.eval()
    return model


def lengthened(run: dict[str, Any], config: TrainConfig, out: Path) -> list[int]:
    """The numbers of steps that a training was meant to have, one after the other; `config`'s is the last.

    Raises:
        UserError: fewer than before, and the steps that are done would have been others.
    """
    steps, done = run.get("steps", [config.steps]), run["step"]
    before = replace(config, steps=steps[-1])
    if done <= config.steps and all(rate(before, i) == rate(config, i) for i in range(done)):
        return [*steps[:-1], config.steps]
    what = f"{out}: {done} of {steps[-1]} steps are done"
    if config.steps < steps[-1]:
        raise UserError(
            f"{what}, --steps {config.steps} is another training: repeat it with those, or give another --out"
        )
    print(f"presage: {what}; it goes on to {config.steps}, by other rates than a straight run has", file=sys.stderr)
    return [*steps, config.steps]


@torch.no_grad()
def update_ema(ema: dict[str, Tensor], network: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average, with a shorter memory at the start so that the first weights are forgotten."""
    share = 1 - min(decay, (1 + step) / (10 + step))
    names, values = zip(*[(n, p) for n, p in network.named_parameters() if n in ema], strict=True)
    torch._foreach_lerp_([ema[n] for n in names], [v.detach() for v in values], share)
