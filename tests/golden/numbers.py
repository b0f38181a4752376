"""The shipped model's numbers on fixed inputs, in fp32: what a change of the code must not change.

python -m tests.golden.numbers      # writes numbers.json anew, after a change that is meant to change them
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from presage.device import FP32_VARIABLE
from presage.networks.base import step, value_of
from presage.networks.names import ACTION, VIDEO
from presage.networks.world_model import WorldModel
from presage.policy.representation import video_features
from presage.simulator.environment import DreamWorld
from presage.simulator.planning import critic_says
from presage.systems.shipped import PARTS
from presage.timeline.joined import JoinedSession
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.training.batch import Batch, weighted
from presage.training.checkpoint import load_model
from presage.training.reference import REFERENCE_WEIGHTS, reference_objective
from tests.simulator.fake_world import FakeWorld

FILE = Path(__file__).with_name("numbers.json")
TEXTS = ["push the puck to the goal", "open the drawer"]
SIGNS = 8
"""Numbers kept of a tensor, beside its mean and size."""


def digest(x: Tensor | np.ndarray) -> list[float]:
    """Mean, root mean square, and some entries spread over a tensor."""
    flat = torch.as_tensor(x).detach().double().flatten()
    places = torch.linspace(0, len(flat) - 1, SIGNS).round().long()
    return [flat.mean().item(), flat.square().mean().sqrt().item(), *flat[places].tolist()]


def frames(model: WorldModel, rows: int, seed: int) -> dict[str, np.ndarray]:
    """Smooth pictures with a square in each, and a state."""
    rng, size = np.random.default_rng(seed), model.config.codec.size
    images = {}
    for camera in model.config.cameras:
        ramp = np.linspace(60, 150, size)[None, :, None, None] + rng.uniform(0, 40, (rows, 1, 1, 3))
        picture = np.broadcast_to(ramp, (rows, size, size, 3)).astype(np.uint8)
        for row in range(rows):
            y, x = rng.integers(0, size - 9, 2)
            picture[row, y : y + 8, x : x + 8] = (30, 60, 240)
        images[f"image.{camera}"] = picture
    state = np.array([0.0, 0.6, 0.2, 0.8]) + rng.normal(0, 0.05, (rows, 4))
    return {**images, "state": state.astype(np.float32)}


def chunks(model: WorldModel, rows: int, seed: int) -> np.ndarray:
    shape = (rows, model.config.chunk, model.config.action_dim)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def batch(model: WorldModel, seed: int, windows: int = 2, rows: int = 4) -> Batch:
    shown = [
        {**model.encode_images(f), "state": model.encode_state(f["state"])} for f in _film(model, windows, rows, seed)
    ]
    values = {name: torch.stack([each[name] for each in shown], 1) for name in shown[0]}
    acted = [model.encode_action(chunks(model, windows, seed + i)) for i in range(rows)]
    values |= {
        ACTION: torch.stack(acted, 1),
        "value": torch.linspace(0, 1, windows * rows).view(windows, rows, 1, 1),
    }
    yes = torch.ones(windows, rows, dtype=torch.bool)
    quality = torch.tensor([[1.0, 1.0, 0.0, float("nan")]]).expand(windows, rows)
    return Batch(values, model.embed_text(TEXTS[:windows]), yes, quality=quality)


def _film(model: WorldModel, rows: int, length: int, seed: int) -> list[dict[str, np.ndarray]]:
    return [frames(model, rows, seed * 100 + i) for i in range(length)]


def seen(model: WorldModel, seed: int = 0) -> Session:
    """A session of two rows that has seen four frames."""
    session = Session(model, TEXTS, seed=seed)
    for i, frame in enumerate(_film(model, 2, 4, seed)):
        session.observe(frame, chunks(model, 2, i) if i else None)
    return session


def losses(model: WorldModel) -> dict[str, Any]:
    found = {}
    for seed in range(2):
        terms = reference_objective()(model, batch(model, seed), torch.Generator().manual_seed(seed))
        found |= {f"loss/{seed}/{name}": [term.mean.item()] for name, term in terms.items()}
        found[f"loss/{seed}/loss"] = [weighted(terms, REFERENCE_WEIGHTS).item()]
    return found


def imaginations(model: WorldModel) -> dict[str, Any]:
    session = seen(model)
    given = {ACTION: model.encode_action(chunks(model, 2, 9))}
    film = model.encode_images(frames(model, 2, 77)) | {"state": model.encode_state(frames(model, 2, 77)["state"])}
    asked: list[tuple[str, Schedule, dict[str, Tensor] | None]] = [
        *[(f"joint_{n}", Schedule.joint(n), None) for n in (1, 4)],
        *[(f"policy_{n}", Schedule.policy(n), None) for n in (1, 4)],
        *[(f"forward_{n}", Schedule.forward(n), given) for n in (1, 4)],
        *[(f"inverse_{n}", Schedule.inverse(n), film) for n in (1, 4)],
        *[(f"video_{n}", Schedule.video(n), None) for n in (1, 4)],
    ]
    found = {}
    for name, plan, tokens in asked:
        values = session.imagine(plan, tokens).values
        found |= {f"imagine/{name}/{stream}": digest(x) for stream, x in values.items()}
    found["features"] = digest(video_features(session, None))
    found["value"] = digest(value_of(session))
    return found


def forked_and_joined(model: WorldModel) -> dict[str, Any]:
    found, session = {}, seen(model)
    fork = session.fork(3)
    step(fork, chunks(model, 6, 5))
    found["fork"] = digest(fork.imagine(Schedule.joint(2)).values[f"{VIDEO}.{model.config.cameras[0]}"])
    joined = JoinedSession([seen(model, 1), seen(model, 2)])
    found["joined"] = digest(joined.imagine(Schedule.joint(2)).values[ACTION])
    found["joined_fork"] = digest(joined.fork(2).imagine(Schedule.policy(2)).values[ACTION])
    q = critic_says(session, torch.zeros(2, 3, model.config.chunk * model.config.action_dim))
    found["q"] = digest(torch.zeros(1) if q is None else q)
    return found


def dreamed(model: WorldModel) -> dict[str, Any]:
    world = DreamWorld(model, FakeWorld(2), threshold=0.9)
    world.reset(seed=3, options={"observation": frames(model, 2, 3), "instruction": TEXTS})
    found = {}
    for i in range(8):
        observation, reward, *_ = world.step(chunks(model, 2, i))
        found |= {f"dream/{i}/{name}": digest(x) for name, x in observation.items()}
        found[f"dream/{i}/reward"] = digest(reward)
    return found


@contextmanager
def full_precision() -> Iterator[None]:
    """One thread and fp32: the numbers of every machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with mock.patch.dict(os.environ, {FP32_VARIABLE: "1"}):
            yield
    finally:
        torch.set_num_threads(threads)


def numbers() -> dict[str, list[float]]:
    with full_precision(), torch.no_grad():
        model = load_model(PARTS, torch.device("cpu"))
        return losses(model) | imaginations(model) | forked_and_joined(model) | dreamed(model)


if __name__ == "__main__":
    FILE.write_text(json.dumps(numbers(), indent=0))
    print(f"{FILE} written")
