"""A tiny random model of the real classes, for tests that need the machinery and not the skill."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from presage.codecs.image import ImageCodecConfig
from presage.codecs.scalars import ScalarCodec
from presage.episodes.robot import Robot
from presage.networks.composed import Shape
from presage.networks.world_model import WorldModel, WorldModelConfig
from presage.systems.checkpoint import save_system, system_of
from presage.timeline.session import Session


def tiny_model(size: int = 32, window: int = 3, layers: int = 2, seed: int = 0) -> WorldModel:
    """Two cameras, chunks of 4 x 4, state of 4; outputs are made non-zero so that everything depends on everything."""
    torch.manual_seed(seed)
    config = WorldModelConfig(
        codec=ImageCodecConfig(size=size, width=8, blocks=1, latent_channels=4),
        width=32,
        renderer=64,
        layers=layers,
        heads=2,
        window=window,
    )
    model = WorldModel(config, ScalarCodec([0.0] * 16, [1.0] * 16), ScalarCodec([0.0] * 4, [1.0] * 4))
    torch.nn.init.normal_(model.network.quality.weight, std=0.2)
    for output in model.network.outputs.values():
        torch.nn.init.normal_(output.weight, std=0.2)
    assert model.state_dynamics is not None
    torch.nn.init.normal_(model.state_dynamics.output.weight, std=0.2)
    return model.eval()


def tiny_pusht(size: int = 32) -> WorldModel:
    """As `tiny_model`, of Push-T: one camera, chunks of 4 x 2, state of 2."""
    torch.manual_seed(0)
    codec = ImageCodecConfig(size=size, width=8, blocks=1, latent_channels=4)
    config = WorldModelConfig(
        ["top"], action_dim=2, state_dim=2, codec=codec, width=32, renderer=64, layers=2, heads=2, fps=2.5
    )
    model = WorldModel(config, ScalarCodec([0.0] * 8, [1.0] * 8), ScalarCodec([256.0] * 2, [256.0] * 2))
    for output in model.network.outputs.values():
        torch.nn.init.normal_(output.weight, std=0.2)
    return model.eval()


def tiny_observation(batch: int, size: int = 32, seed: int = 0) -> dict[str, np.ndarray]:
    """Random frames of both cameras and a random state."""
    rng = np.random.default_rng(seed)
    images = {f"image.{c}": rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8) for c in ("front", "top")}
    return {**images, "state": rng.normal(size=(batch, 4)).astype(np.float32)}


def tiny_chunk(batch: int, seed: int = 0) -> np.ndarray:
    """A random action chunk (B, 4, 4) in [-1, 1]."""
    return np.random.default_rng(seed).uniform(-1, 1, (batch, 4, 4)).astype(np.float32)


def grounded(model: WorldModel, steps: int, batch: int = 2) -> Session:
    """A session that has seen so many random steps."""
    session = Session(model, ["open the drawer"] * batch)
    for t in range(steps):
        session.observe(tiny_observation(batch, seed=t), tiny_chunk(batch, seed=t) if t else None)
    return session


def tiny_system(
    folder: Path, name: str, cameras: Sequence[str] = ("front", "top"), size: int = 64, chunk: int = 4
) -> Path:
    """An untrained debug twin of a system, as a checkpoint for the robot of Meta-World; its judge has an opinion."""
    codecs = ScalarCodec([0.0] * 4 * chunk, [1.0] * 4 * chunk), ScalarCodec([0.0] * 4, [1.0] * 4)
    shape = Shape(tuple(cameras), size, chunk, 4, 4, *codecs, 20 / chunk)
    robot = Robot.of_chunked_rows(list(cameras), chunk, 4, 4, 20 / chunk, "sawyer")
    model = system_of(name, shape, "debug").build(shape)
    if "judge" in model.parts:
        model.parts["judge"].get_buffer("taught").fill_(1)
    return save_system(model, name, shape, "debug", folder, "untrained", {"robots": [robot.to_config()]})
