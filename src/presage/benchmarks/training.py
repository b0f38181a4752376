"""Training speed of the real loop, as a share of what this machine's linear layers can multiply in the same run."""

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from presage.benchmarks.common import BenchArgs
from presage.device import autocast, compute_dtype
from presage.networks.world_model import WorldModel
from presage.training.batch import weighted
from presage.training.checkpoint import load_model
from presage.training.data import Rows, make_batch
from presage.training.recipes import metaworld
from presage.training.reference import TrainConfig, train
from presage.training.resume import step_generator

LINEAR = (4352, 256, 1024)
"""Rows, inputs and outputs of the linear layer that sets the ceiling: the network's own feed-forward layer."""
WARM_UP = 20


def run(args: BenchArgs) -> dict[str, Any]:
    """Train the checkpoint's network on random tokens with the shipped recipe, logs and moving average included.

    `ceiling_share` is the counted floating point operations of a step over the time it took, divided by the rate of
    one linear layer (the better of forward and forward + backward) in the dtype the device computes in;
    `ceiling_share_bf16` divides by the rate of the same layer in bf16. Data is drawn as in training, from memory.
    """
    model = load_model(args.checkpoint, args.device)
    config = replace(metaworld().training, seed=args.seed, save_every=10**9)
    if args.quick:
        config = replace(config, batch=2)
    steps = 10 if args.quick else 60
    rows = random_rows(model, 200, args.seed)
    tokens, operations = count(model, rows, config)
    dtype = compute_dtype(args.device)
    before = {d: linear_rate(args.device, d, args.quick) for d in dict.fromkeys((dtype, torch.bfloat16))}
    seconds = step_seconds(model, rows, config, steps)
    after = {d: linear_rate(args.device, d, args.quick) for d in before}
    ceiling = {d: max(before[d], after[d]) for d in before}
    rate = operations / seconds
    return {
        "tokens_per_s": tokens / seconds,
        "ceiling_share": rate / ceiling[dtype],
        "ceiling_share_bf16": rate / ceiling[torch.bfloat16],
        "dtype": str(dtype).removeprefix("torch."),
        "tflops": rate / 1e12,
        "linear_tflops": ceiling[dtype] / 1e12,
        "linear_tflops_bf16": ceiling[torch.bfloat16] / 1e12,
        "ms_per_step": 1000 * seconds,
        "tokens_per_step": tokens,
        "batch": config.batch,
        "window": config.window,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "threads": torch.get_num_threads(),
    }


def random_rows(model: WorldModel, count: int, seed: int) -> Rows:
    """Rows of the model's shapes, in episodes of 20, half of them the expert's."""
    rng = np.random.default_rng(seed)
    c = model.config
    episodes = count // 20
    return Rows(
        latents=rng.standard_normal((count, len(c.cameras), c.codec.tokens, c.codec.token_dim)).astype(np.float16),
        state=rng.standard_normal((count, c.state_dim)).astype(np.float32),
        action=rng.uniform(-1, 1, (count, c.chunk * c.action_dim)).astype(np.float32),
        action_valid=np.ones(count, bool),
        quality=(rng.random(count) < 0.5).astype(np.float32),
        value=rng.random(count).astype(np.float32),
        value_valid=np.ones(count, bool),
        instruction=np.repeat(np.arange(episodes), 20),
        start=np.arange(episodes) * 20,
        length=np.full(episodes, 20),
        text=rng.standard_normal((episodes, 256)).astype(np.float32),
    )


def count(model: WorldModel, rows: Rows, config: TrainConfig) -> tuple[int, int]:
    """Tokens of one step's sequences, and floating point operations of its forward and backward matrix products."""
    first = np.arange(config.batch) % len(rows.start) * 20
    index = first[:, None] + np.arange(config.window)
    batch = make_batch(rows, model, index, np.ones(index.shape, bool)).to(model.device)
    generator = step_generator(config.seed, 0)
    tokens: list[int] = []

    def measure(_module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        tokens.append(arguments[0].shape[0] * arguments[0].shape[1])

    hook = model.network.register_forward_pre_hook(measure)
    with FlopCounterMode(display=False) as counter, autocast(model.device):
        weighted(config.objective(model, batch, generator), config.weights).backward()
    hook.remove()
    model.network.zero_grad(set_to_none=True)
    return sum(tokens), counter.get_total_flops()


def step_seconds(model: WorldModel, rows: Rows, config: TrainConfig, steps: int) -> float:
    """Seconds of one step, from the loop's own log after a warm-up."""
    warm = 2 if steps < 2 * WARM_UP else WARM_UP
    with tempfile.TemporaryDirectory() as folder:
        train(model, [(rows, 1.0)], replace(config, steps=warm + steps, log_every=warm), Path(folder), {})
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    first, last = lines[0], lines[-1]
    return (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])


def linear_rate(device: torch.device, dtype: torch.dtype, quick: bool, shape: tuple[int, int, int] = LINEAR) -> float:
    """Floating point operations a second of one linear layer: the better of forward alone and forward + backward."""
    rows, inputs, outputs = shape
    layer = torch.nn.Linear(inputs, outputs, bias=False, device=device, dtype=dtype)
    x = torch.randn(rows, inputs, device=device, dtype=dtype, requires_grad=True)
    y_grad = torch.randn(rows, outputs, device=device, dtype=dtype)
    best = 0.0
    for passes in (1, 3):  # the backward pass has two products of the same size
        for _ in range(3 if quick else 30):
            _synchronize(device)
            start = time.perf_counter()
            y = layer(x)
            if passes == 3:
                y.backward(y_grad)
            _synchronize(device)
            best = max(best, passes * 2 * rows * inputs * outputs / (time.perf_counter() - start))
    return best


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
