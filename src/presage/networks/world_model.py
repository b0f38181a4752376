"""The world model: one transformer and the codecs around it, from raw robot data to tokens and back.

Everything a checkpoint holds is here; `timeline/session.py` imagines with it and `training/` fits it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from presage.codecs.image import ImageCodec, ImageCodecConfig
from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.codecs.scalars import ScalarCodec
from presage.codecs.text import TEXT_DIM, embed_text
from presage.errors import UserError
from presage.networks.base import RobotBase
from presage.networks.critic import Critic
from presage.networks.names import ACTION, LIMIT, SCENE, STATE, VALUE, VIDEO, is_video
from presage.networks.packed import Packed
from presage.networks.reader import SceneReader
from presage.networks.renderer import Renderer
from presage.networks.robot import picture_of
from presage.networks.state_dynamics import StateDynamics
from presage.networks.transformer import Transformer, TransformerConfig
from presage.timeline.backbone import Condition, Tap
from presage.timeline.corruption import Flow, Regress
from presage.timeline.session import Block
from presage.timeline.streams import Stream, Values
from presage.worlds.protocol import Policy


@dataclass(frozen=True)
class WorldModelConfig:
    """What the model knows of the robot, and the network's size."""

    cameras: list[str] = field(default_factory=lambda: ["front", "top"])
    chunk: int = 4
    """Environment steps per model step: the action chunk executed between two frames."""
    action_dim: int = 4
    """Numbers per environment step."""
    state_dim: int = 4
    """Numbers of proprioception; 0: the robot has none."""
    fps: float = 5.0
    """Model steps per second."""
    value_discount: float = 0.95
    """The value of a frame is discount ** (model steps until success); 0 when success never comes."""
    codec: ImageCodecConfig | PixelCodecConfig = field(default_factory=ImageCodecConfig)
    width: int = 256
    reader: int = 384
    """Width of the scene reader, which reads a whole frame into one token (networks/reader.py)."""
    state_dynamics: int = 256
    """Width of the network that says where an action takes the robot itself (networks/state_dynamics.py); 0: none."""
    renderer: int = 512
    """Width of the network that says what the robot looks like in a state (networks/renderer.py); 0: none."""
    code: int = 32
    """Numbers that it reads from the frame before."""
    critic: int = 0
    """Width of the critic, which says Q of a chunk (networks/critic.py); 0: none. Data that hold
    counterfactuals add one."""
    layers: int = 6
    heads: int = 4
    window: int = 3

    def streams(self) -> list[Stream]:
        """The streams of one step, in token order."""
        videos = [f"{VIDEO}.{c}" for c in self.cameras]
        action, image, state = Flow(beta=0.1, limit=LIMIT), Flow(limit=LIMIT), Flow(beta=0.02, limit=LIMIT)
        out = [Stream(ACTION, 1, self.chunk * self.action_dim, action, acts=True)]
        out += [Stream(name, self.codec.tokens, self.codec.token_dim, image) for name in videos]
        frame = len(self.cameras) * self.codec.tokens * self.codec.token_dim
        shown = (*videos, STATE) if self.state_dim else tuple(videos)
        out.append(Stream(SCENE, 1, frame + self.state_dim, derive=WholeFrame(shown)))
        if self.state_dim:
            out.append(Stream(STATE, 1, self.state_dim, state))
        return [*out, Stream(VALUE, 1, 1, Regress(), seen=False)]


@dataclass(frozen=True)
class WholeFrame:
    """All that a frame shows, `streams` in a row, as one token (..., 1, C): one network sees where things are."""

    streams: tuple[str, ...]

    def __call__(self, values: Values) -> Tensor | None:
        if any(name not in values for name in self.streams):
            return None
        return torch.cat([values[name].flatten(-2) for name in self.streams], -1)[..., None, :]


def make_state_dynamics(config: WorldModelConfig) -> StateDynamics | None:
    """For a robot with a state; untaught, it says that nothing moves."""
    if not config.state_dim or not config.state_dynamics:
        return None
    return StateDynamics(config.state_dim, config.chunk * config.action_dim, config.state_dynamics)


class WorldModel(nn.Module):
    """Codecs and transformer. `action_codec` and `state_codec` are fitted on the training data."""

    def __init__(self, config: WorldModelConfig, action_codec: ScalarCodec, state_codec: ScalarCodec) -> None:
        super().__init__()
        self.config = config
        self.action_codec, self.state_codec = action_codec, state_codec
        self.streams = config.streams()
        self.codec: ImageCodec | PixelCodec = (
            ImageCodec(config.codec) if isinstance(config.codec, ImageCodecConfig) else PixelCodec(config.codec)
        )
        self.network = Transformer(
            TransformerConfig(
                width=config.width,
                layers=config.layers,
                heads=config.heads,
                reader=config.reader,
                window=config.window,
                text_dim=TEXT_DIM,
                streams=self.streams,
            )
        )

        self.state_dynamics = make_state_dynamics(config)
        frame = len(config.cameras) * config.codec.tokens * config.codec.token_dim
        self.renderer: Renderer | None = None
        if config.state_dim and config.renderer:
            self.renderer = Renderer(config.state_dim, TEXT_DIM, frame, config.renderer, config.code)
        self.critic: Critic | None = None
        if config.critic:
            self.add_critic(config.critic)

    def add_critic(self, width: int) -> None:
        """A fresh critic, to be trained."""
        config = self.config = replace(self.config, critic=width)
        sizes = (config.width, config.chunk * config.action_dim, config.state_dim)
        self.critic = Critic(*sizes, width).to(self.device)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def cameras(self) -> Sequence[str]:
        return self.config.cameras

    @property
    def size(self) -> int:
        return self.config.codec.size

    @property
    def chunk_shape(self) -> tuple[int, int]:
        return self.config.chunk, self.config.action_dim

    @property
    def state_dim(self) -> int:
        return self.config.state_dim

    @property
    def pictures(self) -> Sequence[str]:
        return [f"{VIDEO}.{camera}" for camera in self.cameras]

    @property
    def tap(self) -> Tap:
        return self.backbone.tap

    @property
    def denoising(self) -> int:
        return 0

    @property
    def uses(self) -> Mapping[str, Callable[[Any, int], Policy]]:
        return {}

    @property
    def fps(self) -> float:
        return self.config.fps

    @property
    def context(self) -> int:
        return self.config.window

    @property
    def backbone(self) -> Packed:
        """The network, packed; in a tuple, since the network's weights are listed where it is."""
        packed = self.__dict__.get("_packed", (None,))[0]
        if packed is None or packed.network is not self.network or packed.streams is not self.streams:
            packed = Packed(self.network, self.streams, self.config.window)
            self.__dict__["_packed"] = (packed,)
        return packed

    @property
    def base(self) -> RobotBase:
        return RobotBase(self)

    def condition(self, instructions: list[str] | Tensor) -> Condition:
        """What the network is told: instructions, one a row, or what `embed_text` made of them."""
        return Condition(instructions if isinstance(instructions, Tensor) else self.embed_text(instructions))

    def encode(self, observation: dict[str, np.ndarray], executed: np.ndarray | None = None) -> Values:
        """Values (B, T, C) of an observation, and of the chunk (B, chunk, A) that led to it.

        Raises:
            UserError: a camera, the state's or the action's size does not fit the model.
        """
        values = self.encode_images(observation)
        if self.config.state_dim:
            values[STATE] = self.encode_state(observation["state"])
        return values if executed is None else values | {ACTION: self.encode_action(executed)}

    def read_scene(self, values: dict[str, Tensor], text: Tensor) -> Tensor | None:
        """The reader's token (B, N, 1, D) of frames (B, N, T, C); None where the model has no reader."""
        derived = [s.derive(values) for s in self.streams if s.derive is not None]
        return None if not derived or derived[0] is None else self.reader(derived[0], text)

    @property
    def reader(self) -> SceneReader:
        reader = self.network.inputs[SCENE]
        assert isinstance(reader, SceneReader)
        return reader

    def base_policy(self, values: dict[str, Tensor], text: Tensor) -> Tensor | None:
        """The chunk (B, N, 1, A) of the base policy, which is the reader, after frames (B, N, T, C)."""
        token = self.read_scene(values, text)
        return None if token is None else self.reader.action(token)

    def expect(self, values: dict[str, Tensor], state: Tensor | None, text: Tensor) -> dict[str, Tensor]:
        """What comes after frames (B, N, T, C) in the simplest case, stream by stream: the frame again, with the robot
        carried to `state` (B, N, 1, S) if that is not None. Predictions are changes of it, so that a network that
        starts there spends its weights on what is different."""
        out = {s.name: values[s.name] for s in self.streams if s.name in values and not s.acts}
        return out if state is None else out | {STATE: state, **self.carry(values, state, text)}

    def carry(self, values: dict[str, Tensor], state: Tensor, text: Tensor) -> dict[str, Tensor]:
        """The videos of frames `values` (B, N, T, C), the robot carried to `state` (B, N, 1, S)."""
        if self.renderer is None or STATE not in values:
            return {}
        videos = [s for s in self.streams if is_video(s)]
        text_BNE = text[:, None].expand(-1, state.shape[1], -1)
        frame = torch.cat([values[s.name].flatten(-2) for s in videos], -1)
        carried = self.renderer.carry(frame, values[STATE][:, :, 0], state[:, :, 0], text_BNE)
        parts = carried.split([s.tokens * s.dim for s in videos], -1)
        return {s.name: x.unflatten(-1, (s.tokens, s.dim)) for s, x in zip(videos, parts, strict=True)}

    def value(self, block: Block, condition: Condition) -> Tensor:
        """(B,) in [0, 1], as the network says of every step that it sees."""
        return block.answers[VALUE][:, 0, 0].clamp(0, 1)

    def random_twin(self) -> "WorldModel":
        """A control: the same codecs, a network of random weights."""
        twin = WorldModel(self.config, self.action_codec, self.state_codec).to(self.device)
        twin.codec.load_state_dict(self.codec.state_dict())
        return twin.eval()

    def stored(self) -> dict[str, Tensor]:
        """What a checkpoint holds: all weights, in bf16."""
        return {k: v.detach().to("cpu", torch.bfloat16).contiguous() for k, v in self.state_dict().items()}

    def restore(self, weights: dict[str, Tensor], source: Path) -> None:
        """Put back what `stored` gave.

        Raises:
            UserError: the weights are of another model.
        """
        try:
            self.load_state_dict({k: v.float() for k, v in weights.items()})
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise UserError(f"{source} does not fit its config.json: {first}") from None

    def embed_text(self, instructions: list[str]) -> Tensor:
        return torch.from_numpy(embed_text(instructions)).to(self.device)

    def encode_images(self, observation: dict[str, np.ndarray]) -> dict[str, Tensor]:
        """`image.<camera>` (B, S, S, 3) uint8 -> `video.<camera>` tokens (B, T, C).

        Raises:
            UserError: a camera is missing or its size is not the model's.
        """
        shown = [picture_of(observation, f"image.{camera}", self.size) for camera in self.config.cameras]
        images = [torch.from_numpy(np.ascontiguousarray(x)) for x in shown]
        tokens = self.codec.encode(torch.cat(images).to(self.device))  # one batch for all cameras
        return {f"{VIDEO}.{c}": t for c, t in zip(self.config.cameras, tokens.chunk(len(images)), strict=True)}

    def decode_images(self, values: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """`video.<camera>` tokens (B, T, C) -> `image.<camera>` (B, S, S, 3) uint8."""
        names = [f"{VIDEO}.{c}" for c in self.config.cameras]
        images = self.codec.decode(torch.cat([values[n] for n in names])).cpu().numpy()
        parts = np.split(images, len(names))
        return {f"image.{c}": x for c, x in zip(self.config.cameras, parts, strict=True)}

    def encode_state(self, state: np.ndarray) -> Tensor:
        """(B, S) raw -> (B, 1, S) tokens."""
        if state.shape[-1] != self.config.state_dim:
            raise UserError(f"state has {state.shape[-1]} numbers: the model was trained with {self.config.state_dim}")
        return torch.from_numpy(self.state_codec.encode(state)).to(self.device)[:, None]

    def encode_action(self, chunk: np.ndarray) -> Tensor:
        """(B, chunk, A) raw -> (B, 1, chunk * A) tokens."""
        if chunk.shape[1:] != self.chunk_shape:
            raise UserError(f"action chunk has shape {chunk.shape[1:]}: the model was trained with {self.chunk_shape}")
        flat = chunk.reshape(len(chunk), -1)
        return torch.from_numpy(self.action_codec.encode(flat)).to(self.device)[:, None]

    def decode_action(self, token: Tensor) -> np.ndarray:
        """(B, 1, chunk * A) tokens -> (B, chunk, A) raw."""
        flat = self.action_codec.decode(token[:, 0].float().cpu().numpy())
        return flat.reshape(len(flat), *self.chunk_shape)

    def decode_state(self, token: Tensor) -> np.ndarray:
        """(B, 1, S) tokens -> (B, S) raw."""
        return self.state_codec.decode(token[:, 0].float().cpu().numpy())
