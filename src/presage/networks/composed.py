"""A model composed of streams, codecs and a backbone: what a recipe builds.

Shapes: B batch, N rows, T tokens of a stream, C numbers a token, S pixels a side, A numbers of an action.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from presage.codecs.scalars import ScalarCodec
from presage.codecs.text import TEXT_DIM, embed_text
from presage.errors import UserError
from presage.timeline.backbone import Backbone, Base, Condition
from presage.timeline.streams import Stream, Values

IMAGE, ACTION, STATE = "image.", "action", "state"
"""Sources of streams: `image.<camera>`, a chunk of actions, the robot's own state."""


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
        chunk: actions (chunk, A) executed between two steps.
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
        action_codec: ScalarCodec,
        state_codec: ScalarCodec,
        chunk: tuple[int, int],
        context: int,
        parts: Mapping[str, nn.Module] | None = None,
        told: bool = True,
        base: Base | None = None,
    ) -> None:
        super().__init__()
        self.told, self.base = told, base
        self.streams, self.chunk_shape, self.context = tuple(streams), chunk, context
        self.action_codec, self.state_codec = action_codec, state_codec
        self._seams = (backbone, dict(codecs))  # beside the modules that they are, for their types
        self.network = module(backbone)
        self.codecs = nn.ModuleList({id(c): module(c) for c in codecs.values()}.values())
        self.parts = nn.ModuleDict(parts or {})

    @property
    def backbone(self) -> Backbone:
        return self._seams[0]

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
        return {s.name: self.encode_images(s.source, observation[s.source]) for s in self.streams if s.source in shown}

    def encode(self, observation: dict[str, np.ndarray], executed: np.ndarray | None = None) -> Values:
        """Values (B, T, C) of an observation, and of the chunk (B, chunk, A) that led to it.

        Raises:
            UserError: a camera or the state is missing.
        """
        out: Values = {}
        for s in self.streams:
            if s.source.startswith(IMAGE):
                if s.source not in observation:
                    raise UserError(f"observation has no {s.source!r}: the model looks through it")
                out[s.name] = self.encode_images(s.source, observation[s.source])
            elif s.source == STATE:
                state = torch.from_numpy(self.state_codec.encode(observation["state"])).float()
                out[s.name] = state.to(self.device).unflatten(-1, (s.tokens, s.dim))
            elif s.source == ACTION and s.acts and executed is not None:  # an answer is no part of what was seen
                out[s.name] = self.encode_action(executed).unflatten(-1, (s.tokens, s.dim))
        return out

    def encode_images(self, source: str, images: np.ndarray) -> Tensor:
        """uint8 (B, S, S, 3) -> (B, T, C)."""
        return self.codec(source).encode(torch.from_numpy(np.ascontiguousarray(images)).to(self.device))

    def decode_images(self, values: Values) -> dict[str, np.ndarray]:
        """Values (B, T, C) of cameras -> `image.<camera>` (B, S, S, 3) uint8."""
        shown = [s for s in self.streams if s.source.startswith(IMAGE) and s.name in values]
        return {s.source: self.codec(s.source).decode(values[s.name]).cpu().numpy() for s in shown}

    def encode_action(self, chunk: np.ndarray) -> Tensor:
        """(B, chunk, A) raw -> (B, chunk * A)."""
        return torch.from_numpy(self.action_codec.encode(chunk.reshape(len(chunk), -1))).float().to(self.device)

    def decode_action(self, token: Tensor) -> np.ndarray:
        """(B, T, C) -> (B, chunk, A) raw."""
        return self.action_codec.decode(token.flatten(1).float().cpu().numpy()).reshape(-1, *self.chunk_shape)


def module(value: object) -> nn.Module:
    """A part that has weights of its own."""
    assert isinstance(value, nn.Module), f"{type(value).__name__} is no torch module"
    return value
