"""A model composed of streams, codecs and a backbone: what a recipe builds.

Shapes: B batch, N rows, T tokens of a stream, C numbers a token, S pixels a side, A numbers of an action.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from presage.codecs.scalars import ScalarCodec
from presage.codecs.text import TEXT_DIM, embed_text
from presage.errors import UserError
from presage.networks.judge import Judge
from presage.networks.robot import picture_of
from presage.networks.shuffled import shuffle
from presage.timeline.backbone import Backbone, Base, Condition, Tap
from presage.timeline.session import Block
from presage.timeline.streams import Stream, Values
from presage.worlds.protocol import Policy

IMAGE, ACTION, STATE = "image.", "action", "state"
"""Sources of streams: `image.<camera>`, a chunk of actions, the robot's own state."""


@dataclass(frozen=True)
class Shape:
    """What a model has to fit: of recorded data, or of a robot."""

    cameras: tuple[str, ...]
    size: int
    """Pixels a side"""
    chunk: int
    """Actions between two steps"""
    action_dim: int
    state_dim: int
    action_codec: ScalarCodec
    state_codec: ScalarCodec
    fps: float
    """Steps a second"""


class Codec(Protocol):
    """A camera's pictures <-> values."""

    def encode(self, images: Tensor) -> Tensor:
        """uint8 (B, S, S, 3) -> (B, T, C)"""
        ...

    def decode(self, values: Tensor) -> Tensor: ...


class Composed(nn.Module):
    """Implements `timeline.session.Model`.

    Args:
        streams: each with its `source`.
        codecs: source -> codec of a camera; several cameras may share one.
        backbone: a module that is a `Backbone` of `streams`.
        shape: of the robot.
        context: how many steps back the backbone looks.
        parts: further modules that stages train or uses read: heads, translators, scorers.
        told: instructions are embedded; else all of them are 0, for models that goals alone steer.
        base: a prediction that the backbone's answers are changes of.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        codecs: Mapping[str, Codec],
        backbone: Backbone,
        shape: Shape,
        context: int,
        parts: Mapping[str, nn.Module] | None = None,
        told: bool = True,
        base: Base | None = None,
    ) -> None:
        super().__init__()
        self.told, self.base = told, base
        self.streams, self.shape, self.context = tuple(streams), shape, context
        self._seams = (backbone, dict(codecs))  # beside the modules that they are, for their types
        self.network = module(backbone)
        self.codecs = nn.ModuleList({id(c): module(c) for c in codecs.values()}.values())
        self.parts = nn.ModuleDict(parts or {})
        self.uses: Mapping[str, Callable[[Any, int], Policy]] = {}
        """Name -> the model so used, as a policy (model, seed): who opens a system's checkpoint says which"""

    @property
    def backbone(self) -> Backbone:
        return self._seams[0]

    @property
    def cameras(self) -> Sequence[str]:
        return self.shape.cameras

    @property
    def size(self) -> int:
        return self.shape.size

    @property
    def chunk_shape(self) -> tuple[int, int]:
        return self.shape.chunk, self.shape.action_dim

    @property
    def state_dim(self) -> int:
        """As far as it sees the state"""
        return self.shape.state_dim if any(s.source == STATE for s in self.streams) else 0

    @property
    def fps(self) -> float:
        return self.shape.fps

    @property
    def pictures(self) -> Sequence[str]:
        return [s.name for s in self.streams if s.source.startswith(IMAGE)]

    @property
    def tap(self) -> Tap | None:
        """As its network says"""
        said: Tap | None = getattr(self.network, "tap", None)
        return said

    @property
    def denoising(self) -> int:
        return 1

    @property
    def critic(self) -> nn.Module | None:
        return self.parts["critic"] if "critic" in self.parts else None

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def codec(self, source: str) -> Codec:
        """The codec of `image.<camera>`."""
        return self._seams[1][source]

    def condition(self, instructions: list[str] | Tensor) -> Condition:
        if not self.told:
            return Condition(torch.zeros(len(instructions), TEXT_DIM, device=self.device))
        if isinstance(instructions, Tensor):
            return Condition(instructions)
        return Condition(torch.from_numpy(embed_text(instructions)).to(self.device))

    def goal(self, observation: dict[str, np.ndarray]) -> Values:
        """Values (B, T, C) of pictures `image.<camera>` that are to be reached.

        Raises:
            UserError: there is none of a camera that the model looks through.
        """
        shown = {s.source for s in self.streams if s.source.startswith(IMAGE)} & set(observation)
        if not shown:
            raise UserError(f"a goal is a picture of {', '.join(sorted(self._seams[1]))}; got {', '.join(observation)}")
        return {
            s.name: self.encode_pictures(s.source, observation[s.source]) for s in self.streams if s.source in shown
        }

    def encode(self, observation: dict[str, np.ndarray], executed: np.ndarray | None = None) -> Values:
        """Values (B, T, C) of an observation, and of the chunk (B, chunk, A) that led to it.

        Raises:
            UserError: a camera or the state is missing.
        """
        out = self.encode_images(observation)
        out |= {s.name: self.encode_state(observation["state"]) for s in self.streams if s.source == STATE}
        if executed is not None:
            acting = (s for s in self.streams if s.source == ACTION and s.acts)  # an answer was not seen
            out |= {s.name: self.encode_action(executed) for s in acting}
        return out

    def encode_images(self, observation: dict[str, np.ndarray]) -> Values:
        """`image.<camera>` (B, S, S, 3) uint8 -> values (B, T, C) of all streams that are seen by cameras.

        Raises:
            UserError: a camera is missing or its size is not the model's.
        """
        seen = [s for s in self.streams if s.source.startswith(IMAGE)]
        shown = {s.source: picture_of(observation, s.source, self.size) for s in seen}
        return {s.name: self.encode_pictures(s.source, shown[s.source]) for s in seen}

    def encode_pictures(self, source: str, images: np.ndarray) -> Tensor:
        """uint8 (B, S, S, 3) of `image.<camera>` -> (B, T, C)."""
        return self.codec(source).encode(torch.from_numpy(np.ascontiguousarray(images)).to(self.device))

    def decode_images(self, values: Values) -> dict[str, np.ndarray]:
        """Values (B, T, C) of cameras -> `image.<camera>` (B, S, S, 3) uint8."""
        shown = [s for s in self.streams if s.source.startswith(IMAGE) and s.name in values]
        return {s.source: self.codec(s.source).decode(values[s.name]).cpu().numpy() for s in shown}

    def encode_action(self, chunk: np.ndarray) -> Tensor:
        """(B, chunk, A) raw -> (B, T, C).

        Raises:
            UserError: the chunk is of another shape.
        """
        if chunk.shape[1:] != self.chunk_shape:
            raise UserError(f"action chunk has shape {chunk.shape[1:]}: the model was trained with {self.chunk_shape}")
        acting = next(s for s in self.streams if s.source == ACTION)
        values = torch.from_numpy(self.shape.action_codec.encode(chunk.reshape(len(chunk), -1))).float()
        return values.to(self.device).unflatten(-1, (acting.tokens, acting.dim))

    def decode_action(self, token: Tensor) -> np.ndarray:
        """(B, T, C) -> (B, chunk, A) raw."""
        return self.shape.action_codec.decode(token.flatten(1).float().cpu().numpy()).reshape(-1, *self.chunk_shape)

    def encode_state(self, state: np.ndarray) -> Tensor:
        """(B, D) raw -> (B, 1, D).

        Raises:
            UserError: the state has another size.
        """
        if state.shape[-1] != self.shape.state_dim:
            raise UserError(f"state has {state.shape[-1]} numbers: the model was trained with {self.shape.state_dim}")
        return torch.from_numpy(self.shape.state_codec.encode(state)).float().to(self.device)[:, None]

    def decode_state(self, token: Tensor) -> np.ndarray:
        """(B, 1, D) -> (B, D) raw."""
        return self.shape.state_codec.decode(token[:, 0].float().cpu().numpy())

    def random_twin(self) -> "Composed":
        """A control: the same codecs and parts; the numbers of each of the network's weights in random order, so that
        it sees what the network sees and has learned nothing."""
        twin = copy.deepcopy(self)
        shuffle(twin.network)
        return twin

    def read_scene(self, values: Values, text: Tensor) -> None:
        """It has no reader of whole frames."""
        return None

    def stored(self) -> dict[str, Tensor]:
        """What a checkpoint holds: all weights, in bf16."""
        half = torch.bfloat16
        return {
            name: x.detach().to("cpu", half if x.is_floating_point() else x.dtype).contiguous()
            for name, x in self.state_dict().items()
        }

    @torch.inference_mode()
    def value(self, block: Block, condition: Condition) -> Tensor:
        """(B,) in [0, 1]: what the part `judge` says of the pictures of a step, as they are decoded.

        Raises:
            UserError: the model has no judge.
        """
        judge = self.parts["judge"] if "judge" in self.parts else None
        if not isinstance(judge, Judge) or not judge.taught:
            raise UserError("this model has no judge of success: no outcome (next.success) was in what it learned from")
        pictures = self.decode_images(block.values)
        shown = torch.stack([torch.from_numpy(pictures[IMAGE + c]) for c in self.cameras], 1).to(self.device)
        says: Tensor = judge(shown, condition.text)
        return says.sigmoid()


def module(value: object) -> nn.Module:
    """A part that has weights of its own."""
    assert isinstance(value, nn.Module), f"{type(value).__name__} is no torch module"
    return value
