"""How good is a long dream, and does it follow the actions? Held-out action sequences (disturbed experts and random
motion) are executed in the simulator and in the dream from the same frame."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.episodes import task_list, world_for
from presage.measures.correlation import pearson
from presage.measures.video import decibels, frame_errors
from presage.networks.world_model import WorldModel
from presage.simulator.environment import DreamWorld
from presage.simulator.pairing import load_for
from presage.worlds import MT10
from presage.worlds.metaworld import project
from presage.worlds.protocol import Observation

STEPS = (1, 8, 32, 64)
BRANCHES = 5
"""Different action sequences from one frame, for the counterfactual figure."""
BRANCH_STEPS = 4


@dataclass(frozen=True)
class Run:
    """N sequences of T + 1 observations and the chunks between them."""

    observations: list[Observation]
    chunks: list[np.ndarray]
    instructions: list[str]
    tasks: list[str]


def smooth_random(n: int, chunk: int, dim: int, steps: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Chunks (N, chunk, A) that keep a random direction for 1 to 4 chunks, with white noise on top."""
    out, left = [], np.zeros(n, int)
    direction = np.zeros((n, 1, dim))
    for _ in range(steps):
        renew = left == 0
        direction[renew] = rng.uniform(-1, 1, (int(renew.sum()), 1, dim))
        left[renew] = rng.integers(1, 5, int(renew.sum()))
        left -= 1
        out.append(np.clip(direction + 0.3 * rng.standard_normal((n, chunk, dim)), -1, 1).astype(np.float32))
    return out


def held_out(world: Any, tasks: list[str], seeds: list[int], steps: int, rng: np.random.Generator) -> Run:
    """Run the simulator for `steps`: even environments are moved by a disturbed expert, odd ones at random."""
    observation, info = world.reset(seed=seeds, options={"task": tasks})
    shape = (world.num_envs, world.chunk, 4)
    random = smooth_random(*shape, steps, rng)
    offsets = smooth_random(*shape, steps, rng)
    odd = np.arange(world.num_envs) % 2 == 1
    seen, chunks = [observation], []
    for t in range(steps):
        disturbed = np.clip(world.expert_chunk(~odd) + 0.5 * offsets[t], -1, 1)
        chunks.append(np.where(odd[:, None, None], random[t], disturbed).astype(np.float32))
        observation, *_ = world.step(chunks[-1])
        seen.append(observation)
    return Run(seen, chunks, info["instruction"], tasks)


def dream_again(model: WorldModel, world: Any, run: Run, seed: int) -> list[Observation]:
    """The observations that the model imagines for the same first frame and chunks."""
    dream = DreamWorld(model, world, threshold=1.0, seed=seed)
    options = {"observation": run.observations[0], "instruction": run.instructions, "task": run.tasks}
    observation, _ = dream.reset(seed=seed, options=options)
    seen = [observation]
    for chunk in run.chunks:
        observation, *_ = dream.step(chunk)
        seen.append(observation)
    return seen


def fidelity(model: WorldModel, real: Run, imagined: list[Observation], steps: tuple[int, ...]) -> dict[str, float]:
    """PSNR at step k over cameras and sequences, that of the first frame repeated, and the error of the hand in pixels.

    The hand is where the imagined state puts it, projected into each camera, against where the simulator has it.
    """
    figures = {}
    cameras, size = model.config.cameras, model.config.codec.size
    for k in steps:
        dreamed, copied, arm = [], [], []
        for camera in cameras:
            truth = real.observations[k][f"image.{camera}"]
            dreamed.append(frame_errors(imagined[k][f"image.{camera}"], truth).mean())
            copied.append(frame_errors(real.observations[0][f"image.{camera}"], truth).mean())
            hands = [project(camera, o[k]["state"][:, :3], size) for o in (imagined, real.observations)]
            arm.append(np.linalg.norm(hands[0] - hands[1], axis=1).mean())
        figures[f"psnr_{k}"] = decibels(float(np.mean(dreamed)))
        figures[f"copy_psnr_{k}"] = decibels(float(np.mean(copied)))
        figures[f"arm_error_px_{k}"] = float(np.mean(arm))
    return figures


def counterfactuals(
    model: WorldModel, world: Any, tasks: list[str], seeds: list[int], seed: int, rng: np.random.Generator
) -> dict[str, float]:
    """Several action sequences from every first frame. `counterfactual_r`: Pearson's r between the displacements of the
    hand (x, y, z after `BRANCH_STEPS`, taken from the mean of its frame) in the dream and in the simulator;
    `counterfactual_r_pixels`: the same of how far apart the last images of two branches are."""
    hands: list[tuple[np.ndarray, np.ndarray]] = []
    images: list[tuple[list[np.ndarray], list[np.ndarray]]] = []
    for _ in range(BRANCHES):
        observation, info = world.reset(seed=seeds, options={"task": tasks})
        chunks = smooth_random(world.num_envs, world.chunk, 4, BRANCH_STEPS, rng)
        seen = [observation]
        for chunk in chunks:
            seen.append(world.step(chunk)[0])
        imagined = dream_again(model, world, Run(seen, chunks, info["instruction"], tasks), seed)
        start = seen[0]["state"][:, :3]
        hands.append((imagined[-1]["state"][:, :3] - start, seen[-1]["state"][:, :3] - start))
        keys = [f"image.{c}" for c in model.config.cameras]
        images.append(([imagined[-1][k] for k in keys], [seen[-1][k] for k in keys]))
    # Centred per start: what is asked is whether *different* actions make the right difference.
    dreamed, true = (np.stack([h[i] for h in hands]) for i in (0, 1))
    moved = [(x - x.mean(0)).ravel() for x in (dreamed, true)]
    apart: tuple[list[float], list[float]] = ([], [])
    for a in range(BRANCHES):
        for b in range(a):
            for i in (0, 1):
                pairs = zip(images[a][i], images[b][i], strict=True)
                apart[i].extend(np.sqrt(np.mean([frame_errors(x, y) for x, y in pairs], axis=0)).tolist())
    return {
        "counterfactual_r": pearson(*moved, resamples=1).value,
        "counterfactual_r_pixels": pearson(*apart, resamples=1).value,
        "counterfactual_branches": float(BRANCHES),
    }


def run(args: BenchArgs) -> dict[str, Any]:
    """Fidelity after 1, 8, 32 and 64 model steps of 0.2 s, and the counterfactual correlation."""
    model = load_for(MT10, args.checkpoint, args.device)
    tasks, seeds = task_list(args, episodes=4)
    tasks, seeds = tasks[:40], seeds[:40]
    world = world_for(model, len(tasks))
    rng = np.random.default_rng(args.seed)
    steps = (1, 4) if args.quick else STEPS
    real = held_out(world, tasks, seeds, max(steps), rng)
    imagined = dream_again(model, world, real, args.seed)
    figures: dict[str, Any] = {"sequences": len(tasks)}
    figures |= fidelity(model, real, imagined, steps)
    figures |= counterfactuals(model, world, tasks, seeds, args.seed, rng)
    world.close()
    return figures
