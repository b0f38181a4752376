"""Success of a small head on the video model's features, beside equal heads, fitted on equal data, on what is there
without a video model: the codec's values of the frame, a scene reader's token of it, and the features of a network
whose weights are in random order, which sees the frame and has learned nothing."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.episodes import max_steps, per_task, world_for
from presage.episodes.dataset import Dataset
from presage.networks.robot import Facts, RobotModel
from presage.policy.grounded import GroundedPolicy
from presage.policy.representation import (
    Head,
    Source,
    dataset_features,
    default_tap,
    equal_head,
    fit_heads,
    load_head,
    representation,
    train_head,
)
from presage.simulator.frames.imagine import with_random_network
from presage.simulator.pairing import check_robot
from presage.systems.checkpoint import open_model
from presage.systems.lab.datasets import T6, dataset
from presage.systems.shipped import PARTS
from presage.worlds import MT10, rollout
from presage.worlds.seeds import evaluation_seeds

DATASET = Path("data/mt10")
DATASETS = ("t3", "rest")
"""Demonstrations of the lab: six tasks"""
FITTED, HELD_OUT = 100, 15
"""Episodes of each dataset"""
STEPS = 1200


def sources(model: RobotModel, seed: int) -> dict[str, tuple[RobotModel, Source]]:
    """Figure -> whose reading of a frame its head is fitted on. A model without a reader of its own is set beside the
    one of `mt10`, where that looks through the same cameras."""
    found: dict[str, tuple[RobotModel, Source]] = {"features": (model, "features"), "codec": (model, "codec")}
    reader = next((m for m in (model, open_model(PARTS, model.device)) if reads(m) and alike(m, model)), None)
    if reader is None:
        print("no scene reader of these cameras: success_reader is left out", file=sys.stderr)
    else:
        found["reader"] = (reader, "reader")
    return {**found, "random_weights": (with_random_network(model, seed), "features")}


def reads(model: RobotModel) -> bool:
    """Whether it has a scene reader."""
    seen = {f"image.{c}": np.zeros((1, model.size, model.size, 3), np.uint8) for c in model.cameras}
    values = model.encode({**seen, "state": np.zeros((1, model.state_dim), np.float32)}, None)
    frames = {name: x[:, None] for name, x in values.items()}
    return model.read_scene(frames, model.condition(["look"]).text) is not None


def alike(one: Facts, other: Facts) -> bool:
    """Whether one world shows both what they look at."""
    first, second = ((list(m.cameras), m.size, m.chunk_shape) for m in (one, other))
    return first == second


def gather(
    model: RobotModel, source: Source, data: Mapping[str, Dataset], episodes: slice, tap: int | None
) -> tuple[Tensor, Tensor]:
    """What is read, and the actions, of the chosen episodes of each dataset, in an order that mixes tasks."""
    parts = []
    for opened in data.values():
        order: Sequence[int] = torch.randperm(len(opened.episodes), generator=torch.Generator().manual_seed(0)).tolist()
        parts.append(dataset_features(model, opened, order[episodes], tap, source=source))
    found, actions = zip(*parts, strict=True)
    return torch.cat(found), torch.cat(actions)


def fit(
    model: RobotModel, source: Source, data: Mapping[str, Dataset], tap: int | None, quick: bool, seed: int
) -> tuple[Head, float]:
    """A head, and the squared error of its actions on episodes that it was not fitted on."""
    fitted, held_out = (slice(0, 2), slice(2, 4)) if quick else (slice(FITTED), slice(FITTED, FITTED + HELD_OUT))
    seen, actions = gather(model, source, data, fitted, tap)
    config = equal_head(seen, actions, tap, source=source)
    head = train_head(config, seen, actions, 20 if quick else STEPS, seed=seed).to(model.device)
    unseen, truth = gather(model, source, data, held_out, tap)
    with torch.inference_mode():
        told = torch.cat([head(part.float().to(model.device)).cpu() for part in unseen.split(256)])
    missed = model.decode_action(told) - model.decode_action(truth[:, None])
    return head, float(np.square(missed).mean())


def run(args: BenchArgs) -> dict[str, Any]:
    """`success_...` of each head in the simulator; `error_...`, of its chunks on held-out demonstrations. Heads that
    the checkpoint lacks are fitted first and kept, where the data of its training are."""
    check_robot(MT10, args.checkpoint)
    model = open_model(args.checkpoint, args.device)
    tap = default_tap(model)
    if DATASET.exists() and any(load_head(args.checkpoint, model, random) is None for random in (False, True)):
        fit_heads(args.checkpoint, model, DATASET)
    names = list(T6[:2] if args.quick else T6)
    seeds = evaluation_seeds(args.seed, 1 if args.quick else args.episodes or 5)
    tasks, seeds = names * len(seeds), [seed for seed in seeds for _ in names]
    data = {name: Dataset(dataset(name, args.quick)) for name in DATASETS}
    world = world_for(model, len(tasks))
    figures: dict[str, Any] = {"episodes_per_task": len(seeds) // len(names)}
    for name, (read, source) in sources(model, args.seed).items():
        head, figures[f"error_{name}"] = fit(read, source, data, tap, args.quick, args.seed)
        policy = GroundedPolicy(read, representation(head), seed=args.seed)
        results = rollout(policy, world, tasks, seeds, max_steps(args))
        args.keep(name, results)
        figures |= per_task(f"success_{name}", results)
    world.close()
    return figures
