"""What a model of a robot offers beside a session: facts of the robot, raw data <-> values, and what it says of it.

Whoever dreams, ranks, labels or drives asks for this and for nothing else, so that any model of streams will do.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from presage.errors import UserError
from presage.timeline.backbone import Condition, Tap
from presage.timeline.session import Block, Model
from presage.timeline.streams import Values
from presage.worlds.protocol import Policy


def picture_of(observation: Mapping[str, np.ndarray], source: str, size: int) -> np.ndarray:
    """The pictures (B, size, size, 3) uint8 of `image.<camera>` in an observation.

    Raises:
        UserError: there are none, or of another size.
    """
    image = observation.get(source)
    if image is None:
        raise UserError(f"observation has no {source!r}: the model looks through it")
    if image.shape[1:] != (size, size, 3):
        raise UserError(f"{source!r} has shape {image.shape}: the model needs (N, {size}, {size}, 3)")
    return image


class Facts(Protocol):
    """What a model knows of its robot: S pixels a side, A numbers of an action, D of the state."""

    @property
    def cameras(self) -> Sequence[str]: ...
    @property
    def size(self) -> int:
        """S"""
        ...

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """(chunk, A): actions between two steps"""
        ...

    @property
    def state_dim(self) -> int:
        """D; 0: it does not look at the robot's own state"""
        ...

    @property
    def fps(self) -> float:
        """Steps a second"""
        ...


class RobotModel(Model, Facts, Protocol):
    """B batch, T tokens of a stream, C numbers a token; the rest as in `Facts`."""

    @property
    def pictures(self) -> Sequence[str]:
        """Streams that show what cameras see"""
        ...

    @property
    def tap(self) -> Tap | None:
        """Where features of its network are read; None: it has none"""
        ...

    @property
    def network(self) -> nn.Module:
        """What imagines, without codecs and parts beside it"""
        ...

    @property
    def denoising(self) -> int:
        """Steps in which it makes a frame that actions lead to, unless it is told; 0: its base prediction as it is"""
        ...

    @property
    def uses(self) -> Mapping[str, Callable[[Any, int], Policy]]:
        """Ways to act that are its own, name -> policy of (model, seed); others go by the names that all share"""
        ...

    @property
    def critic(self) -> nn.Module | None:
        """Says Q of a chunk (networks/critic.py), where there is one"""
        ...

    def random_twin(self) -> "RobotModel":
        """A control: the same codecs and parts, a network of random weights."""
        ...

    def read_scene(self, values: Values, text: Tensor) -> Tensor | None:
        """The token (B, N, 1, D) that a network read off frames (B, N, T, C) at once to say what to do; None where the
        model has no such reader."""
        ...

    def stored(self) -> dict[str, Tensor]:
        """What a checkpoint holds of it"""
        ...

    def encode_images(self, observation: dict[str, np.ndarray]) -> Values:
        """`image.<camera>` (B, S, S, 3) uint8 -> values (B, T, C) of the cameras' streams.

        Raises:
            UserError: a camera is missing or its size is not the model's.
        """
        ...

    def decode_images(self, values: Values) -> dict[str, np.ndarray]:
        """The cameras' values -> `image.<camera>` (B, S, S, 3) uint8"""
        ...

    def encode_action(self, chunk: np.ndarray) -> Tensor:
        """(B, chunk, A) raw -> (B, T, C)

        Raises:
            UserError: the chunk is of another shape.
        """
        ...

    def decode_action(self, token: Tensor) -> np.ndarray:
        """(B, T, C) -> (B, chunk, A) raw"""
        ...

    def encode_state(self, state: np.ndarray) -> Tensor:
        """(B, D) raw -> (B, 1, D)

        Raises:
            UserError: the state has another size.
        """
        ...

    def decode_state(self, token: Tensor) -> np.ndarray:
        """(B, 1, D) -> (B, D) raw"""
        ...

    def value(self, block: Block, condition: Condition) -> Tensor:
        """(B,) in [0, 1]: how near to success what is seen is, 1 being there.

        Raises:
            UserError: the model has nobody who says that.
        """
        ...
