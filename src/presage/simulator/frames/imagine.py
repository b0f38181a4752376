"""What a video model has to offer to be measured, and models as such: the shipped one, the last frame repeated, any
session model."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from presage.codecs.text import embed_said
from presage.networks.base import step
from presage.networks.robot import RobotModel
from presage.networks.shuffled import shuffle
from presage.timeline.session import Session
from presage.timeline.streams import Values


@dataclass(frozen=True)
class Shown:
    """What a model is shown of E episodes: P frames of C cameras, the oldest first. The dream starts after the last."""

    frames: np.ndarray  # (E, P, C, S, S, 3) uint8
    actions: np.ndarray  # (E, P - 1, chunk, A) float32: executed between them
    states: np.ndarray | None  # (E, P, S); None: pixels alone
    instructions: list[str]
    cameras: tuple[str, ...] = ("front", "top")

    def __len__(self) -> int:
        return len(self.frames)

    def observation(self, row: int) -> dict[str, np.ndarray]:
        """Row `row` as a session observes it."""
        seen = {f"image.{c}": self.frames[:, row, i] for i, c in enumerate(self.cameras)}
        return seen if self.states is None else {**seen, "state": self.states[:, row]}


class Imagines(Protocol):
    def __call__(self, shown: Shown, actions: np.ndarray, draw: int = 0) -> np.ndarray:
        """Frames (E, N, C, S, S, 3) uint8 that chunks of actions (E, N, chunk, A) lead to. The same again for the same
        `draw`; with another one, what is left to chance comes out otherwise. A model that draws by itself need not
        look at it."""
        ...


def copies(shown: Shown, actions: np.ndarray, draw: int = 0) -> np.ndarray:
    """Nothing ever happens: the baseline of every figure."""
    return np.repeat(shown.frames[:, -1:], actions.shape[1], axis=1)


R = TypeVar("R", bound=RobotModel)
Advance = Callable[[Session[Any], np.ndarray], Values]
"""Imagines what chunks (B, chunk, A) lead to, and steps into it; returns its values."""


def as_shipped(denoising: int | None = None) -> Advance:
    """As every command dreams (`networks.base.step`)."""
    return lambda session, chunk: step(session, chunk, denoising).values


def session_imagines(model: RobotModel, advance: Advance, seed: int = 0) -> Imagines:
    """A model behind a session. It observes all frames that are shown; its noise follows from `seed` and the draw."""

    @torch.inference_mode()
    def imagine(shown: Shown, actions: np.ndarray, draw: int = 0) -> np.ndarray:
        told = shown.instructions if all(shown.instructions) else torch.from_numpy(embed_said(shown.instructions))
        words = told if isinstance(told, list) else told.to(model.device)
        session = Session(model, words, float("nan"), seed + draw)
        for row in range(shown.frames.shape[1]):
            session.observe(shown.observation(row), shown.actions[:, row - 1] if row else None)
        seen = []
        for t in range(actions.shape[1]):
            images = model.decode_images(advance(session, actions[:, t]))
            seen.append(np.stack([images[f"image.{c}"] for c in shown.cameras], 1))
        return np.stack(seen, 1)

    return imagine


def codec_floor(model: RobotModel) -> Callable[[np.ndarray], np.ndarray]:
    """Frames (E, C, S, S, 3) as the model's codec gives them back: nothing that it dreams can be truer."""
    cameras = model.cameras

    @torch.inference_mode()
    def reconstruct(frames: np.ndarray) -> np.ndarray:
        observation = {f"image.{c}": np.ascontiguousarray(frames[:, i]) for i, c in enumerate(cameras)}
        images = model.decode_images(model.encode_images(observation))
        return np.stack([images[f"image.{c}"] for c in cameras], 1)

    return reconstruct


def shuffled_weights(network: nn.Module, seed: int) -> nn.Module:
    """The control: the same network, the numbers of each of its weights in random order. What survives that does not
    measure the network."""
    twin = copy.deepcopy(network)
    shuffle(twin, torch.Generator().manual_seed(seed))
    return twin


def with_random_network(model: R, seed: int) -> R:
    """The model with a video model of shuffled weights; its codecs, and parts beside the video model, stay."""
    twin = copy.deepcopy(model)
    twin.network.load_state_dict(shuffled_weights(model.network, seed).state_dict())
    return twin
