"""Fidelity of the image codec on episodes it never saw, over all pixels and over those that decide a task."""

import time
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from presage.benchmarks.common import BenchArgs
from presage.measures.video import decibels, frame_errors, ssim
from presage.networks.world_model import WorldModel
from presage.simulator.pairing import load_for
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
    cameras = model.config.cameras
    world = VectorWorld(
        tasks, num_envs=episodes, cameras=cameras, size=model.config.codec.size, chunk=model.config.chunk
    )
    similarity: list[float] = []
    figures: dict[str, Any] = {}
    total = np.zeros(4)
    for task in tqdm(tasks, desc="codec", unit="task"):
        frames, masks = held_out_frames(world, task, seeds, MAX_STEPS // (4 if args.quick else 1))
        sums = np.zeros(4)
        for camera in cameras:
            decoded = reconstruct(model, frames[camera])
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
        "object_share": total[3] / (total[1] * model.config.codec.size**2),
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


def reconstruct(model: WorldModel, frames: np.ndarray, batch: int = 64) -> np.ndarray:
    """Encode and decode (F, S, S, 3) uint8."""
    parts = [torch.from_numpy(frames[i : i + batch]).to(model.device) for i in range(0, len(frames), batch)]
    return np.concatenate([model.codec.decode(model.codec.encode(part)).cpu().numpy() for part in parts])


def compression(model: WorldModel) -> float:
    """Numbers of an image over numbers of its tokens."""
    codec = model.config.codec
    return 3 * codec.size**2 / (codec.tokens * codec.token_dim)


def latency(model: WorldModel, repeats: int) -> dict[str, float]:
    """Median milliseconds to encode, and to decode, one frame of every camera."""
    size, cameras = model.config.codec.size, len(model.config.cameras)
    image = torch.zeros((cameras, size, size, 3), dtype=torch.uint8, device=model.device)
    tokens = model.codec.encode(image)
    out = {}
    calls = {"encode_ms": lambda: model.codec.encode(image), "decode_ms": lambda: model.codec.decode(tokens)}
    for name, call in calls.items():
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            call().cpu()
            seconds.append(time.perf_counter() - start)
        out[name] = 1000 * float(np.median(seconds))
    return out
