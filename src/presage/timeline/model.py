"""What a session and the losses need of a model: the seam behind which a network may be presage's own or a published
one.

Tensors that `Network` returns are opaque along their last axis. Session and losses concatenate, cut and repeat them
along batch, blocks and tokens, and hand them back: a network may let ride along whatever it needs again later (its
width is nobody else's business, and so is the number of layers in `KV`).

Shapes: B batch, S tokens, K cached and new tokens, N blocks in one call, T tokens of a stream, C numbers a token.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from presage.networks.critic import Critic
from presage.networks.kinematics import Kinematics
from presage.networks.transformer import KV
from presage.timeline.streams import Stream


class Network(Protocol):
    def embed(
        self,
        stream: str,
        x_BNTC: Tensor | None,
        level_BN: Tensor,
        text: Tensor,
        quality_BN: Tensor | None = None,
        missing_BN: Tensor | None = None,
    ) -> Tensor:
        """Tokens of one stream in N blocks -> (B, N, T, ...). None: not recorded, or a query."""
        ...

    def __call__(
        self,
        x: Tensor,
        blocks: Tensor,
        mask_SK: Tensor,
        past: KV | None = None,
        tap: int | None = None,
        text: Tensor | None = None,
    ) -> tuple[Tensor, KV]:
        """Hidden states (B, S, ...) and the new tokens' keys and values (layers, B, H, S, ...).

        `blocks` is (S,), or (B, 1, S) where rows are at different times: absolute, so that nothing is re-indexed when
        the past is cut. The mask's first columns are the cached tokens. With `tap`, plain hidden states after that many
        layers.
        """
        ...

    def read(self, stream: str, hidden: Tensor) -> Tensor:
        """Predicted value (..., C), whatever the network itself predicts (x, noise or velocity): clean for actions and
        queries, and for what is seen the clean value or its change (`Model.predict`)."""
        ...


class Sizes(Protocol):
    """What uses read from `model.config`."""

    @property
    def cameras(self) -> list[str]: ...
    @property
    def chunk(self) -> int: ...
    @property
    def action_dim(self) -> int: ...
    @property
    def state_dim(self) -> int: ...
    @property
    def fps(self) -> float: ...
    @property
    def window(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def layers(self) -> int: ...


class Model(Protocol):
    """Raw robot data <-> tokens, and the network between."""

    streams: list[Stream]

    @property
    def config(self) -> Sizes: ...
    @property
    def network(self) -> Network: ...
    @property
    def device(self) -> torch.device: ...

    @property
    def kinematics(self) -> Kinematics | None:
        """Where an action takes the robot itself; None where it has no state."""
        ...

    @property
    def critic(self) -> Critic | None:
        """What a chunk is worth; None where the model was not taught that."""
        ...

    def with_views(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """`values` and the views of them that are streams of the model, if it has any."""
        ...

    def propose(self, values: dict[str, Tensor], text: Tensor) -> Tensor | None:
        """The chunk (B, N, 1, A) that a good robot would execute after frames (B, N, T, C), at a first glance; None
        where the model has no such glance."""
        ...

    def read_scene(self, values: dict[str, Tensor], text: Tensor) -> Tensor | None:
        """Frames (B, N, T, C) in one token each (B, N, 1, D); None where the model has no reader."""
        ...

    def expect(self, values: dict[str, Tensor], state: Tensor | None, text: Tensor) -> dict[str, Tensor]:
        """What is seen after frames (B, N, T, C), as they were shown, in the simplest case: stream -> (B, N, T, C),
        given the state (B, N, 1, S) that kinematics lead to, if any. A model may predict the change from there; streams
        that it predicts as they are, are left out."""
        ...

    def predict(self, stream: Stream, hidden: Tensor, expected: Tensor | None) -> Tensor:
        """Predicted clean tokens (..., T, C) of what the network returned for a stream, given what was expected of
        it."""
        ...

    def embed_text(self, instructions: list[str]) -> Tensor:
        """(B, ...), of the same shape for all instructions."""
        ...

    def encode_images(self, observation: dict[str, np.ndarray]) -> dict[str, Tensor]:
        """`image.<camera>` (B, H, W, 3) uint8 -> `video.<camera>` (B, T, C), each frame on its own."""
        ...

    def decode_images(self, values: dict[str, Tensor]) -> dict[str, np.ndarray]: ...
    def encode_action(self, chunk: np.ndarray) -> Tensor: ...
    def decode_action(self, token: Tensor) -> np.ndarray: ...
    def encode_state(self, state: np.ndarray) -> Tensor: ...
    def decode_state(self, token: Tensor) -> np.ndarray: ...
