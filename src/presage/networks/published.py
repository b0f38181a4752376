"""The published video models presage can load: shapes, licence, where they come from and where they are looked for.

Parameter counts are taken from the classes themselves, built on the meta device, which allocates nothing.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from presage.errors import UserError

PARTS = ("transformer", "vae", "text_encoder", "tokenizer")
SAMPLE = 2**23
"""Bytes at the beginning and at the end of a file that its hash is of."""
_WAN_1_3B = {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30}
_WAN_14B = {"num_attention_heads": 40, "attention_head_dim": 128, "ffn_dim": 13824, "num_layers": 40}
_IMAGE = {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120}
UMT5_XXL = {
    "vocab_size": 256384,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}


@dataclass(frozen=True)
class Published:
    """A published backbone."""

    name: str
    hub: str
    """Repository on the Hugging Face hub; presage itself downloads nothing."""
    transformer: dict[str, Any] = field(repr=False)
    """Arguments of diffusers' WanTransformer3DModel that differ from its defaults."""
    licence: str = "Apache-2.0"


BACKBONES = (
    Published("wan2.1-t2v-1.3b", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", _WAN_1_3B),
    Published("wan2.1-t2v-14b", "Wan-AI/Wan2.1-T2V-14B-Diffusers", _WAN_14B),
    Published("wan2.1-i2v-14b-480p", "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", _WAN_14B | _IMAGE),
    Published("wan2.1-i2v-14b-720p", "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", _WAN_14B | _IMAGE),
)


@cache
def parameters(name: str) -> dict[str, int]:
    """Parameters of `transformer`, `vae` and `text_encoder` of a backbone."""
    import torch

    with wan_extra():
        from diffusers import WanTransformer3DModel
    shape = {b.name: b.transformer for b in BACKBONES}[name]
    with torch.device("meta"):
        return {"transformer": _count(WanTransformer3DModel(**shape))} | _shared_parameters()


@cache
def _shared_parameters() -> dict[str, int]:
    """Parameters of the parts that all of them have in common."""
    import torch

    with wan_extra():
        from diffusers import AutoencoderKLWan
        from transformers import UMT5Config, UMT5EncoderModel
    with torch.device("meta"):
        return {"vae": _count(AutoencoderKLWan()), "text_encoder": _count(UMT5EncoderModel(UMT5Config(**UMT5_XXL)))}


def _count(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


def gibibytes(parameters: int, bytes_each: int = 2) -> float:
    """Memory of weights; bf16 by default."""
    return parameters * bytes_each / 2**30


def places(backbone: Published) -> list[Path]:
    """Folders a backbone is looked for in, best first: `backbones/NAME` here, then the Hugging Face cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cached = Path(HF_HUB_CACHE) / f"models--{backbone.hub.replace('/', '--')}" / "snapshots"
    return [Path("backbones") / backbone.name, *sorted(cached.glob("*"))]


def present(backbone: Published) -> Path | None:
    """The first of `places` that is whole."""
    return next((p for p in places(backbone) if not missing_parts(p)), None)


def missing_parts(folder: Path) -> list[str]:
    """What a diffusers folder lacks of what presage loads."""
    return [part for part in PARTS if not list((folder / part).glob("*.json"))]


def read_shape(folder: Path) -> dict[str, Any]:
    """`transformer/config.json` of a diffusers folder that holds a Wan model.

    Raises:
        UserError: it is not such a folder.
    """
    missing = missing_parts(folder)
    if missing:
        raise UserError(f"{folder} is no Wan 2.1 in diffusers' format: it has no {missing[0]}/; see presage models")
    path = folder / "transformer" / "config.json"
    try:
        shape = json.loads(path.read_text())
        found = shape.get("_class_name")
    except (OSError, ValueError, AttributeError):
        raise UserError(f"{path} cannot be read: fetch the backbone again") from None
    if found != "WanTransformer3DModel":
        raise UserError(f"{path} describes {found}: presage loads WanTransformer3DModel")
    return shape


def backbone_hash(folder: Path) -> str:
    """What is in a diffusers folder: of every file of weights or settings its length, beginning and end, since
    gigabytes would take seconds at every start, and weights that were trained on differ everywhere."""
    digest = hashlib.sha256()
    files = [file for part in PARTS for file in (folder / part).iterdir()]
    for file in sorted(file for file in files if file.suffix in (".json", ".safetensors")):
        length = file.stat().st_size
        digest.update(f"{file.relative_to(folder)} {length}\n".encode())
        with file.open("rb") as opened:
            digest.update(opened.read(SAMPLE))
            opened.seek(max(0, length - SAMPLE))
            digest.update(opened.read())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def wan_extra() -> Iterator[None]:
    """Turn a missing package of the extra `wan` into one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"Wan needs the package {error.name}: pip install -c constraints.txt presage[wan]") from None
