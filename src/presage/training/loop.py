"""The one training loop: plain steps with a moving average, logs and a state that survives `kill -9`."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from presage.device import autocast, quicken
from presage.episodes.mixture import Drawn, Mixture
from presage.errors import UserError
from presage.training.batch import Terms, Weights, weighted, weights_at
from presage.training.fingerprint import Fingerprint, settings
from presage.training.muon import Muon
from presage.training.resume import load_state, save_state, step_generator, truncate_log


@dataclass(frozen=True)
class Optimiser:
    """AdamW, or Muon, at a rate that warms up, stays, and falls to zero."""

    steps: int = 5000
    batch: int = 16
    lr: float = 1e-3
    warmup: int = 200
    cooldown: float = 0.4
    """Last share of the steps in which the rate falls linearly to zero."""
    weight_decay: float = 0.05
    orthogonal: tuple[str, ...] = ()
    """Names, by pattern, of hidden layers whose matrices Muon trains in place of AdamW (`muon.py`)"""
    ema: float = 0.998
    seed: int = 0
    save_every: int = 250
    log_every: int = 20
    bf16: bool = True
    """Compute in bf16 where the device multiplies it faster"""


def rate(config: Optimiser, step: int) -> float:
    """Learning rate of a step: warm-up, constant, linear cool-down."""
    left = (config.steps - step) / max(1.0, config.cooldown * config.steps)
    return config.lr * min(1.0, (step + 1) / config.warmup, left)


def make_optimizer(network: nn.Module, config: Optimiser) -> torch.optim.Optimizer:
    """AdamW, or Muon for hidden layers that the config names; matrices decay, vectors and embeddings do not. Frozen
    weights are left out."""
    trained = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    if config.orthogonal:
        matrices = [p for n, p in trained if p.ndim > 1 and any(fnmatchcase(n, each) for each in config.orthogonal)]
    else:
        matrices = [p for n, p in trained if p.ndim == 2 and "positions" not in n]
    chosen = {id(p) for p in matrices}
    others = [p for _, p in trained if id(p) not in chosen]
    if config.orthogonal:
        return Muon(matrices, others, config.lr, config.weight_decay)
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    # The fused kernel walks memory in order: moments that were loaded again are contiguous, so weights must be.
    fused = all(p.is_contiguous() for _, p in trained)
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), fused=fused)


Objective = Callable[[Drawn, torch.Generator], Terms]
"""What is asked of windows that were drawn, with the random numbers of the step."""


def optimise(
    trained: nn.Module,
    objective: Objective,
    data: Mixture,
    weights: Weights,
    config: Optimiser,
    out: Path,
    made_from: Fingerprint,
    name: str = "train",
    quiet: bool = False,
) -> None:
    """The one training loop: fit `trained` in place to what `objective` says of windows drawn from `data`, and leave it
    with the averaged weights. Resumes from `out`.

    Writes `out/state.safetensors`, `out/log.jsonl` and TensorBoard events in `out/tensorboard`.

    weights: of the objective's terms, by pattern. made_from: all that the weights follow from, except `config`; with
    `steps` where a training is not to be lengthened.

    Raises:
        UserError: `out` cannot be written, or holds what was made from something else, or fewer steps than were done
            are asked for; or there is nothing to learn, or the gradient is not finite.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}; choose another --out") from None
    device = next(trained.parameters()).device
    cards = range(torch.cuda.device_count() if device.type == "cuda" else 0)
    optimizer, ema, made, run = _resumed(trained, config, out, made_from)
    step, began, steps = run["step"], time.monotonic() - run["seconds"], run["steps"]
    truncate_log(out / "log.jsonl", step)
    if step:
        data.load_state(run["data"])
    trained.train()
    from torch.utils.tensorboard import SummaryWriter

    board = SummaryWriter(str(out / "tensorboard"), purge_step=step)
    bar = tqdm(total=config.steps, initial=step, desc=name, unit="step", disable=quiet)
    recent: list[dict[str, Tensor]] = []
    finite = torch.ones((), dtype=torch.bool, device=device)
    with open(out / "log.jsonl", "a") as log:
        while step < config.steps:
            for group in optimizer.param_groups:
                group["lr"] = rate(config, step)
            # Dropout asks for no generator: torch's own are lent to this step, and everybody else finds them as they
            # were.
            with torch.random.fork_rng(devices=cards), autocast(device) if config.bf16 else nullcontext():
                generator = step_generator(config.seed, step)
                torch.manual_seed(generator.initial_seed() + 1)
                terms = objective(data.sample(config.batch), generator)
                loss = weighted(terms, weights_at(weights, step))
            loss.backward()
            norm = nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
            finite = finite & torch.isfinite(norm)
            # To ask a card is to wait for it: there only where figures are read or a state is kept.
            kept = (step + 1) % config.save_every == 0 or step + 1 == config.steps
            if (device.type == "cpu" or kept or (step + 1) % config.log_every == 0) and not bool(finite):
                raise UserError(
                    f"{out}: step {step}: the gradient is not finite; look for odd numbers in the data (presage "
                    "inspect), or train with a lower `lr`"
                )
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            update_ema(ema, trained, config.ema, step)
            recent.append({"loss": loss.detach(), **{name: term.mean.detach() for name, term in terms.items()}})
            if step % config.log_every == 0 or step == config.steps:
                names = dict.fromkeys(k for r in recent for k in r)  # an objective need not ask for all at every step
                means = {k: float(np.mean([r[k].item() for r in recent if k in r])) for k in names}
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
                shown = "  ".join(f"{k} {v:.3f}" for k, v in list(means.items())[:4])
                bar.set_postfix_str(shown, refresh=False)
            bar.update()
            if kept:
                run = {"step": step, "seconds": time.monotonic() - began, "data": data.state(), "steps": steps}
                save_state(out, trained, ema, optimizer, run, made)
    bar.close()
    board.close()
    _leave(trained, ema)


def load_finished(trained: nn.Module, config: Optimiser, out: Path, made_from: Fingerprint) -> None:
    """What `optimise` leaves where all steps are done in `out`, without the data.

    Raises:
        UserError: `out` holds what was made from something else, or more steps than are asked for.
    """
    _, ema, _, _ = _resumed(trained, config, out, made_from)
    _leave(trained, ema)


def _resumed(
    trained: nn.Module, config: Optimiser, out: Path, made_from: Fingerprint
) -> tuple[torch.optim.Optimizer, dict[str, Tensor], Fingerprint, dict[str, Any]]:
    """The optimizer, the averaged weights, what a state is made from, and the `run` as `out` holds it; `trained` has
    the weights of its last step."""
    optimizer = make_optimizer(trained, config)
    ema = {k: v.detach().clone() for k, v in trained.named_parameters() if v.requires_grad}
    # `lengthened` knows more of the steps, unless what follows from the weights would be another if there were more.
    made = {name: e for name, e in settings(config).items() if name != "steps"} | made_from
    run = load_state(out, trained, ema, optimizer, made)
    run["steps"] = lengthened(run, config, out)
    if next(trained.parameters()).device.type == "cuda":
        quicken(trained)
    return optimizer, ema, made, run


def _leave(trained: nn.Module, ema: dict[str, Tensor]) -> None:
    trained.load_state_dict({**trained.state_dict(), **ema})
    trained.eval()


def lengthened(run: dict[str, Any], config: Optimiser, out: Path) -> list[int]:
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
