"""A world model whose network, image codec and text encoder are Wan 2.1's, loaded from a diffusers folder.

`transformer/` becomes the network (`networks/wan.py`), `vae/` the image codec (`codecs/wan_vae.py`), `text_encoder/`
and `tokenizer/` the instructions (`codecs/wan_text.py`). Sessions, losses and the seven uses see a `WorldModel`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from presage.codecs.scalars import ScalarCodec
from presage.codecs.wan_text import WanText
from presage.codecs.wan_vae import WanCodec, WanCodecConfig
from presage.device import compute_dtype, default_device
from presage.errors import UserError
from presage.networks.published import BACKBONES, backbone_hash, places, read_shape, wan_extra
from presage.networks.wan import TEXT_LENGTH, WanNetwork
from presage.networks.world_model import WorldModel, WorldModelConfig, make_state_dynamics
from presage.timeline.streams import Stream

if TYPE_CHECKING:
    from diffusers import WanTransformer3DModel


@dataclass(frozen=True)
class WanModelConfig(WorldModelConfig):
    """A robot, and the backbone that is to serve it; `wan_config` fills in what follows from the backbone."""

    codec: WanCodecConfig = field(default_factory=WanCodecConfig)  # type: ignore[assignment]
    backbone: str = ""
    """The diffusers folder."""
    backbone_hash: str = ""
    """Of its files: what was trained beside them fits no others. Empty in checkpoints that did not note it."""
    lora: int | None = 16
    """Rank of the trained change of the frozen weights; None: all weights are trained."""
    text_tokens: int = 64
    """Room for an instruction; at most 512."""

    def streams(self) -> list[Stream]:
        """Without whole frames as tokens: Wan's attention reads places from its rotary positions, as it was
        published."""
        return [s for s in super().streams() if s.derive is None]


def wan_config(folder: Path, robot: WorldModelConfig, size: int, lora: int | None) -> WanModelConfig:
    """The backbone in `folder` for the cameras, actions and states of `robot`, at `size` pixels a side.

    Raises:
        UserError: no such backbone, or a size or rank that does not fit.
    """
    if size < 16 or size % 16:
        raise UserError(f"{size} pixels: Wan's frames are a multiple of 16 pixels a side")
    if lora is not None and lora < 1:
        raise UserError(f"LoRA of rank {lora}: give at least 1")
    shape = read_shape(folder)
    if tuple(shape["patch_size"]) != (1, 2, 2):
        raise UserError(f"{folder}: patches of {shape['patch_size']}; Wan 2.1's are 1 x 2 x 2")
    return WanModelConfig(
        cameras=robot.cameras,
        chunk=robot.chunk,
        action_dim=robot.action_dim,
        state_dim=robot.state_dim,
        fps=robot.fps,
        value_discount=robot.value_discount,
        codec=WanCodecConfig(size, shape["out_channels"]),
        width=shape["num_attention_heads"] * shape["attention_head_dim"],
        layers=shape["num_layers"],
        heads=shape["num_attention_heads"],
        window=robot.window,
        backbone=str(folder),
        backbone_hash=backbone_hash(folder),
        lora=lora,
    )


class WanWorldModel(WorldModel):
    """Wan's parts behind the interface of presage's own model. `open_wan` builds one from a folder."""

    config: WanModelConfig

    def __init__(
        self,
        config: WanModelConfig,
        action_codec: ScalarCodec,
        state_codec: ScalarCodec,
        transformer: "WanTransformer3DModel",
        codec: WanCodec,
        text: Callable[[list[str]], Tensor],
    ) -> None:
        nn.Module.__init__(self)  # the parent's would build presage's own codec and network
        self.config = config
        self.action_codec, self.state_codec = action_codec, state_codec
        self.streams = config.streams()
        self.codec = codec  # type: ignore[assignment]
        self.network = WanNetwork(transformer, self.streams, config.codec.grid, config.lora)  # type: ignore[assignment]
        self._text = text
        self.state_dynamics, self.renderer, self.critic = make_state_dynamics(config), None, None

    def expect(self, values: dict[str, Tensor], state: Tensor | None, text: Tensor) -> dict[str, Tensor]:
        """Nothing: Wan was published to predict whole frames, not changes of the frame before."""
        return {}

    def embed_text(self, instructions: list[str]) -> Tensor:
        """(B, L, E), zeros behind each instruction."""
        return self._text(instructions).to(self.device)

    def random_twin(self) -> "WanWorldModel":
        """The same codecs and shape, a transformer of random weights."""
        assert isinstance(self.network, WanNetwork) and isinstance(self.codec, WanCodec)
        transformer = self.network.transformer
        fresh = type(transformer).from_config(transformer.config).to(self.device, transformer.dtype)
        twin = WanWorldModel(self.config, self.action_codec, self.state_codec, fresh, self.codec, self._text)
        return twin.to(self.device).eval()

    def stored(self) -> dict[str, Tensor]:
        """What a checkpoint holds: trained weights alone. LoRA and added weights are few and kept in fp32; a whole
        transformer is kept in bf16, as presage keeps its own."""
        dtype = torch.bfloat16 if self.config.lora is None else torch.float32
        return {name: p.detach().to("cpu", dtype).contiguous() for name, p in _trained(self).items()}

    def restore(self, weights: dict[str, Tensor], source: Path) -> None:
        """Put back what `stored` gave.

        Raises:
            UserError: the weights are of another backbone, rank or robot.
        """
        trained = _trained(self)
        odd = sorted(trained.keys() ^ weights.keys())
        odd += [name for name in trained.keys() & weights.keys() if trained[name].shape != weights[name].shape]
        if odd:
            raise UserError(f"{source} does not fit the backbone {self.config.backbone}: {odd[0]} is another")
        with torch.no_grad():
            for name, p in trained.items():
                p.copy_(weights[name])


def _trained(model: WanWorldModel) -> dict[str, nn.Parameter]:
    assert isinstance(model.network, WanNetwork)
    own = {} if model.state_dynamics is None else dict(model.state_dynamics.named_parameters(prefix="state_dynamics"))
    return model.network.trained() | own


def open_wan(
    config: WanModelConfig, action_codec: ScalarCodec, state_codec: ScalarCodec, device: torch.device | None = None
) -> WanWorldModel:
    """Load the backbone of `config`; the added weights are fresh. Frozen weights are held in `compute_dtype`, trained
    ones in fp32. Everything but the text encoder goes to `device`.

    Raises:
        UserError: the folder is not there, not whole, of another kind, or not what `config` was made for.
    """
    device = device or default_device()
    folder = find(config.backbone)
    read_shape(folder)
    with wan_extra():
        from diffusers import AutoencoderKLWan, WanTransformer3DModel
    dtype = torch.float32 if config.lora is None else compute_dtype(device)
    transformer = _part(WanTransformer3DModel, folder / "transformer", dtype)
    vae = _part(AutoencoderKLWan, folder / "vae", torch.float32)
    shape = transformer.config
    width = shape.num_attention_heads * shape.attention_head_dim
    if (width, shape.num_layers, shape.out_channels) != (config.width, config.layers, config.codec.latent_channels):
        raise UserError(
            f"{folder} has {shape.num_layers} layers of width {width}: the checkpoint was trained on another"
        )
    if vae.config.z_dim != shape.out_channels or vae.config.patch_size is not None:
        raise UserError(
            f"{folder / 'vae'} is not Wan 2.1's: {vae.config.z_dim} channels, patches {vae.config.patch_size}"
        )
    if config.backbone_hash and backbone_hash(folder) != config.backbone_hash:
        raise UserError(f"{folder} holds other files than the checkpoint was trained on: put those back, or train anew")
    if not 2 <= config.text_tokens <= TEXT_LENGTH:
        raise UserError(f"text_tokens {config.text_tokens}: give 2 to {TEXT_LENGTH}")
    text = WanText(folder, config.text_tokens)
    codec = WanCodec(config.codec, vae)
    return WanWorldModel(config, action_codec, state_codec, transformer.to(device), codec, text.embed).to(device).eval()


def find(backbone: str) -> Path:
    """The folder itself, or where `presage models` finds a backbone of that name or folder name.

    Raises:
        UserError: it is nowhere.
    """
    named = Path(backbone)
    known = [p for b in BACKBONES if b.name in (backbone, named.name) for p in places(b)]
    for folder in [named, Path("backbones") / named.name, *known]:
        if folder.is_dir():
            return folder
    raise UserError(
        f"the backbone {backbone} is not there: put it back, or into backbones/{named.name}; see presage models"
    )


def _part(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    try:
        return kind.from_pretrained(folder, torch_dtype=dtype, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} cannot be loaded ({first}): fetch the backbone again") from None
