"""What a video model has to offer to be measured, and models as such: the shipped one, the last frame repeated, any
session model."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from presage.networks.base import step
from presage.networks.world_model import WorldModel
from presage.simulator.frames.placed import CAMERAS
from presage.timeline.session import Session


@dataclass(frozen=True)
class Shown:
    """What a model is shown of E episodes: P frames of C cameras, the oldest first. The dream starts after the last."""

    frames: np.ndarray  # (E, P, C, S, S, 3) uint8
    actions: np.ndarray  # (E, P - 1, chunk, A) float32: executed between them
    states: np.ndarray | None  # (E, P, S); None: pixels alone
    instructions: list[str]

    def __len__(self) -> int:
        return len(self.frames)

    def observation(self, row: int) -> dict[str, np.ndarray]:
        """Row `row` as a session observes it."""
        seen = {f"image.{c}": self.frames[:, row, i] for i, c in enumerate(CAMERAS)}
        return seen if self.states is None else {**seen, "state": self.states[:, row]}


class Imagines(Protocol):
    def __call__(self, shown: Shown, actions: np.ndarray) -> np.ndarray:
        """Frames (E, N, C, S, S, 3) uint8 that chunks of actions (E, N, chunk, A) lead to."""
        ...


def copies(shown: Shown, actions: np.ndarray) -> np.ndarray:
    """Nothing ever happens: the baseline of every figure."""
    return np.repeat(shown.frames[:, -1:], actions.shape[1], axis=1)


Step = Callable[[Session[Any], np.ndarray], Any]
"""Imagines what a chunk (B, chunk, A) leads to, and steps into it; returns the block."""


def session_imagines(model: WorldModel, denoising: int = 0, seed: int = 0, frames: int | None = None) -> Imagines:
    """A model behind a session.

    denoising: steps of a frame (`networks.base.step`); 0: as the shipped model dreams. frames: how many of those shown
    it observes; all by default.
    """

    @torch.inference_mode()
    def imagine(shown: Shown, actions: np.ndarray) -> np.ndarray:
        session = Session(model, shown.instructions, float("nan"), seed)
        past = shown.frames.shape[1]
        first = 0 if frames is None else max(0, past - frames)
        for row in range(first, past):
            session.observe(shown.observation(row), shown.actions[:, row - 1] if row > first else None)
        seen = []
        for t in range(actions.shape[1]):
            images = model.decode_images(step(session, actions[:, t], denoising).values)
            seen.append(np.stack([images[f"image.{c}"] for c in CAMERAS], 1))
        return np.stack(seen, 1)

    return imagine


def codec_floor(model: WorldModel) -> Callable[[np.ndarray], np.ndarray]:
    """Frames (E, C, S, S, 3) as the model's codec gives them back: nothing that it dreams can be truer."""

    @torch.inference_mode()
    def reconstruct(frames: np.ndarray) -> np.ndarray:
        observation = {f"image.{c}": np.ascontiguousarray(frames[:, i]) for i, c in enumerate(CAMERAS)}
        images = model.decode_images(model.encode_images(observation))
        return np.stack([images[f"image.{c}"] for c in CAMERAS], 1)

    return reconstruct


def shuffled_weights(network: nn.Module, seed: int) -> nn.Module:
    """The control: the same network, the numbers of each of its weights in random order. What survives that does not
    measure the network."""
    twin = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in twin.parameters():
            order = torch.randperm(weight.numel(), generator=generator)
            weight.copy_(weight.flatten()[order.to(weight.device)].view_as(weight))
    return twin


def with_random_network(model: WorldModel, seed: int) -> WorldModel:
    """The model with a video model of shuffled weights; its codecs, and parts beside the video model, stay."""
    twin = copy.deepcopy(model)
    twin.network.load_state_dict(shuffled_weights(model.network, seed).state_dict())
    return twin.eval()
