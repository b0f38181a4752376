"""Success of a small head on the video model's features, beside equal heads, fitted on equal data, on what is there
without a video model: the codec's latents of the frame, the scene reader's token of it, and the features of a network
whose weights are in random order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.episodes import max_steps, per_task, world_for
from presage.episodes.dataset import Dataset
from presage.networks.world_model import WorldModel
from presage.policy.grounded import GroundedPolicy
from presage.policy.representation import (
    Head,
    HeadConfig,
    Source,
    dataset_features,
    default_tap,
    fit_heads,
    load_head,
    representation,
    train_head,
)
from presage.simulator.frames.imagine import with_random_network
from presage.simulator.pairing import check_robot
from presage.systems.lab.datasets import T6, dataset
from presage.training.checkpoint import load_model
from presage.worlds import MT10, rollout
from presage.worlds.seeds import evaluation_seeds

DATASET = Path("data/mt10")
DATASETS = ("t3", "rest")
"""Demonstrations of the lab: six tasks"""
FITTED, HELD_OUT = 100, 15
"""Episodes of each dataset"""
STEPS = 1200
SOURCES: dict[str, tuple[Source, bool]] = {
    "features": ("features", False),
    "codec": ("codec", False),
    "reader": ("reader", False),
    "random_weights": ("features", True),
}
"""Figure -> what its head reads, and whether the video model's weights are in random order"""


def features(model: WorldModel, source: Source, quick: bool, episodes: slice, tap: int) -> tuple[Tensor, Tensor]:
    """Features and action tokens of the chosen episodes of each dataset, in an order that mixes tasks."""
    parts = []
    for name in DATASETS:
        data = Dataset(dataset(name, quick))
        order: Sequence[int] = torch.randperm(len(data.episodes), generator=torch.Generator().manual_seed(0)).tolist()
        parts.append(dataset_features(model, data, order[episodes], tap, source=source))
    found, actions = zip(*parts, strict=True)
    return torch.cat(found), torch.cat(actions)


def fit(model: WorldModel, source: Source, args: BenchArgs) -> tuple[Head, float]:
    """A head, and its squared error on episodes that it was not fitted on."""
    tap = default_tap(model)
    fitted, held_out = (slice(0, 2), slice(2, 4)) if args.quick else (slice(FITTED), slice(FITTED, FITTED + HELD_OUT))
    seen, actions = features(model, source, args.quick, fitted, tap)
    config = HeadConfig(seen.shape[-1], actions.shape[1], tap, model.config.heads, source=source)
    head = train_head(config, seen, actions, 20 if args.quick else STEPS, seed=args.seed).to(model.device)
    unseen, truth = features(model, source, args.quick, held_out, tap)
    with torch.inference_mode():
        told = torch.cat([head(part.float().to(model.device))[:, 0].cpu() for part in unseen.split(256)])
    return head, float((told - truth).square().mean())


def run(args: BenchArgs) -> dict[str, Any]:
    """`success_...` of each head in the simulator; `error_...`, of its chunks on held-out demonstrations. Heads that
    the checkpoint lacks are fitted first and kept, where the data of its training are."""
    check_robot(MT10, args.checkpoint)
    model = load_model(args.checkpoint, args.device)
    if DATASET.exists() and any(load_head(args.checkpoint, model, random) is None for random in (False, True)):
        fit_heads(args.checkpoint, DATASET)
    names = list(T6[:2] if args.quick else T6)
    seeds = evaluation_seeds(args.seed, 1 if args.quick else args.episodes or 5)
    tasks, seeds = names * len(seeds), [seed for seed in seeds for _ in names]
    world = world_for(model, len(tasks))
    figures: dict[str, Any] = {"episodes_per_task": len(seeds) // len(names)}
    for name, (source, random) in SOURCES.items():
        read = with_random_network(model, args.seed) if random else model
        head, figures[f"error_{name}"] = fit(read, source, args)
        policy = GroundedPolicy(read, representation(head), seed=args.seed)
        results = rollout(policy, world, tasks, seeds, max_steps(args))
        args.keep(name, results)
        figures |= per_task(f"success_{name}", results)
    world.close()
    return figures
