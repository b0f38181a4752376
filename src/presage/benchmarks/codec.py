"""Fidelity of the image codec on episodes it never saw, over all pixels and over those that decide a task."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from presage.benchmarks.common import BenchArgs
from presage.measures.video import decibels, frame_errors, ssim
from presage.networks.robot import RobotModel
from presage.systems.checkpoint import load_for
from presage.worlds.instructions import MT10
from presage.worlds.seeds import evaluation_seeds
from presage.worlds.vector import VectorWorld

MAX_STEPS = 40
NOISE = 0.3
"""Standard deviation of the noise on every second episode's actions: models that fail see such frames too."""


def run(args: BenchArgs) -> dict[str, Any]:
    """Encode and decode every frame of held-out episodes of the ten tasks. `episodes` per task: 4.

    `object_*` counts only pixels of gripper, object and goal, by the simulator's own segmentation. All PSNRs are of the
    mean squared error over all frames.
    """
    model = load_for(MT10, args.checkpoint, args.device)
    episodes = args.episodes or (1 if args.quick else 4)
    tasks = MT10[:2] if args.quick else MT10
    seeds = evaluation_seeds(args.seed, episodes)
    cameras = model.cameras
    world = VectorWorld(tasks, num_envs=episodes, cameras=cameras, size=model.size, chunk=model.chunk_shape[0])
    similarity: list[float] = []
    figures: dict[str, Any] = {}
    total = np.zeros(4)
    for task in tqdm(tasks, desc="codec", unit="task"):
        frames, masks = held_out_frames(world, task, seeds, MAX_STEPS // (4 if args.quick else 1))
        sums = np.zeros(4)
        shown = reconstruct(model, frames)
        for camera, decoded in shown.items():
            errors = frame_errors(decoded, frames[camera])
            pixels = masks[camera].sum((1, 2))
            seen = pixels > 0
            object_errors = frame_errors(decoded[seen], frames[camera][seen], masks[camera][seen])
            sums += (errors.sum(), len(errors), (object_errors * pixels[seen]).sum(), pixels.sum())
            similarity.append(ssim(decoded, frames[camera]))
        figures[f"psnr/{task}"] = decibels(sums[0] / sums[1])
        figures[f"object_psnr/{task}"] = decibels(sums[2] / sums[3])
        total += sums
    world.close()
    return {
        "psnr": decibels(total[0] / total[1]),
        "ssim": float(np.mean(similarity)),
        "object_psnr": decibels(total[2] / total[3]),
        "object_share": total[3] / (total[1] * model.size**2),
        "frames": int(total[1]),
        "compression": compression(model),
        **latency(model, 5 if args.quick else 50),
        **figures,
    }


def held_out_frames(
    world: VectorWorld, task: str, seeds: list[int], steps: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Frames (F, S, S, 3) and foreground masks (F, S, S) of each camera, of expert episodes until their success."""
    rng = np.random.default_rng(seeds[0])
    noise = NOISE * (np.arange(world.num_envs) % 2)[:, None, None]
    observation, info = world.reset(seed=seeds, options={"task": [task] * world.num_envs})
    active = np.ones(world.num_envs, bool)
    frames: dict[str, list[np.ndarray]] = {camera: [] for camera in world.cameras}
    masks: dict[str, list[np.ndarray]] = {camera: [] for camera in world.cameras}
    for _ in range(steps):
        foreground = world.masks()
        for camera in world.cameras:
            frames[camera].append(observation[f"image.{camera}"][active])
            masks[camera].append(foreground[camera][active])
        active &= ~np.asarray(info["success"])
        if not active.any():
            break
        chunks = world.expert_chunk(active)
        chunks = np.clip(chunks + noise * rng.standard_normal(chunks.shape), -1, 1)
        observation, _, _, _, info = world.step(chunks, active=active)
    return (
        {camera: np.concatenate(parts) for camera, parts in frames.items()},
        {camera: np.concatenate(parts) for camera, parts in masks.items()},
    )


def reconstruct(model: RobotModel, frames: dict[str, np.ndarray], batch: int = 64) -> dict[str, np.ndarray]:
    """Encode and decode the frames (F, S, S, 3) uint8 of each camera."""
    count, parts = len(next(iter(frames.values()))), []
    for i in range(0, count, batch):
        seen = {f"image.{camera}": x[i : i + batch] for camera, x in frames.items()}
        parts.append(model.decode_images(model.encode_images(seen)))
    return {camera: np.concatenate([part[f"image.{camera}"] for part in parts]) for camera in frames}


def compression(model: RobotModel) -> float:
    """Numbers of the images over numbers of their tokens."""
    values = model.encode_images(_black(model))
    return 3 * model.size**2 * len(model.cameras) / sum(x[0].numel() for x in values.values())


def _black(model: RobotModel) -> dict[str, np.ndarray]:
    """A frame of every camera."""
    return {f"image.{camera}": np.zeros((1, model.size, model.size, 3), np.uint8) for camera in model.cameras}


def latency(model: RobotModel, repeats: int) -> dict[str, float]:
    """Median milliseconds to encode, and to decode, one frame of every camera."""
    frame, out = _black(model), {}
    values = model.encode_images(frame)
    calls: dict[str, Callable[[], Any]] = {
        "encode_ms": lambda: next(iter(model.encode_images(frame).values())).cpu(),
        "decode_ms": lambda: model.decode_images(values),
    }
    for name, call in calls.items():
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        out[name] = 1000 * float(np.median(seconds))
    return out
