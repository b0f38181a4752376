"""Checkpoints: a folder with `config.json`, `model.safetensors`, a file for each large part, and `card.md`. No pickle,
anywhere.

Weights are stored in bf16 and loaded as fp32: the rounding is far below what training resolves, and halves the file.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from presage.codecs.image import ImageCodecConfig
from presage.codecs.pixels import PixelCodecConfig
from presage.codecs.scalars import ScalarCodec
from presage.codecs.wan_vae import WanCodecConfig
from presage.device import default_device
from presage.errors import UserError
from presage.networks.wan_model import WanModelConfig, open_wan
from presage.networks.world_model import WorldModel, WorldModelConfig

FORMAT = 1
WEIGHTS = "model.safetensors"
PARTS = ("renderer", "critic")
"""Parts of the model whose weights have a file of their own: all in one would be larger than some hosts take at once.
"""
RENAMED = {"kinematics": "state_dynamics", "progress_discount": "value_discount", "progress": "value"}
"""Earlier words for fields, parts and streams, in checkpoints that were written with them."""
EARLIER = re.compile(r"^kinematics(?=\.)|(?<=\.)progress(?=\.|$)")
"""Where they stand in the names of weights."""
_CODECS = {"image": ImageCodecConfig, "pixels": PixelCodecConfig, "wan": WanCodecConfig}
"""`codec_kind` of config.json. "wan" says that the whole model is Wan's: its file holds what was trained, and the rest
is in the backbone's folder."""


def save_model(model: WorldModel, folder: Path, card: str, extra: dict[str, Any] | None = None) -> Path:
    """Write a checkpoint folder; an existing one is replaced only once the new one is whole."""
    config = {
        "format": FORMAT,
        "model": dataclasses.asdict(model.config),
        "codec_kind": next(kind for kind, c in _CODECS.items() if isinstance(model.config.codec, c)),
        "action_codec": dataclasses.asdict(model.action_codec),
        "state_codec": dataclasses.asdict(model.state_codec),
        **(extra or {}),
    }
    weights = stored_weights(model)
    files = {}
    for part in PARTS:
        own = {name: weights.pop(name) for name in list(weights) if name.startswith(f"{part}.")}
        if own:
            files[f"{part}.safetensors"] = own
    return write_folder(folder, config, files | {WEIGHTS: weights}, card)


def write_folder(
    folder: Path, config: Mapping[str, Any], files: Mapping[str, dict[str, torch.Tensor]], card: str
) -> Path:
    """Write a checkpoint folder; an existing one is replaced only once the new one is whole.

    files: name of each .safetensors file -> its tensors.

    Raises:
        UserError: it cannot be written.
    """
    temporary = Path(f"{folder}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        (temporary / "config.json").write_text(json.dumps(config, indent=1))
        for name, tensors in files.items():
            write_weights(tensors, temporary / name)
        (temporary / "card.md").write_text(card)
    except OSError as error:
        raise UserError(f"cannot write the checkpoint {folder}: {error.strerror}; choose a writable folder") from None
    replace_folder(temporary, folder)
    return folder


def write_weights(tensors: dict[str, torch.Tensor], file: Path, metadata: dict[str, str] | None = None) -> None:
    """A .safetensors file.

    Raises:
        UserError: it cannot be written, and nothing of it is left.
    """
    try:
        save_file(tensors, file, metadata)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            file.unlink()
        raise UserError(f"cannot write {file}: {error}; free space or choose another folder") from None


class Storable(Protocol):
    def stored(self) -> dict[str, torch.Tensor]: ...


def stored_weights(model: Storable) -> dict[str, torch.Tensor]:
    """What a checkpoint holds of a model; a model that was loaded from it has the very same."""
    return model.stored()


def replace_folder(new: Path, old: Path) -> None:
    """Put `new` in the place of `old`."""
    if old.exists():
        retired = Path(f"{old}.old")
        shutil.rmtree(retired, ignore_errors=True)
        os.rename(old, retired)
        os.rename(new, old)
        shutil.rmtree(retired)
    else:
        os.rename(new, old)


def load_model(folder: Path, device: torch.device | None = None) -> WorldModel:
    """Load a checkpoint folder, in eval mode.

    Raises:
        UserError: a file is missing, truncated, or of another format.
    """
    folder = Path(folder)
    config = read_config(folder)
    if "system" in config:
        raise UserError(f"{folder} holds the system {config['system']}: open it with systems.checkpoint.open_system")
    try:
        fields = {RENAMED.get(name, name): value for name, value in config["model"].items()}
        fields["codec"] = _CODECS[config["codec_kind"]](**fields["codec"])
        scalars = ScalarCodec(**config["action_codec"]), ScalarCodec(**config["state_codec"])
        model: WorldModel
        if config["codec_kind"] == "wan":
            model = open_wan(WanModelConfig(**fields), *scalars, device)
        else:
            model = WorldModel(WorldModelConfig(**fields), *scalars)
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / 'config.json'}: field {error} does not fit; retrain or fetch it again") from None
    weights = checkpoint_weights(folder)
    model.restore(weights, folder / "model.safetensors")
    return model.to(device or default_device()).eval()


def read_config(folder: Path) -> dict[str, Any]:
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{folder} is not a checkpoint: it has no config.json; train one or name another") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON ({error}): the checkpoint is damaged, fetch or train it again") from None
    if config.get("format") != FORMAT:
        raise UserError(f"{path}: format is {config.get('format')}, this presage reads {FORMAT}; retrain or upgrade")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The files of a checkpoint's weights: the model's always, and those of its parts that there are."""
    parts = [folder / f"{part}.safetensors" for part in PARTS]
    return [folder / WEIGHTS, *[file for file in parts if file.exists()]]


def weights_hash(folder: Path) -> str:
    """What the weights of a checkpoint are known by.

    Raises:
        UserError: `folder` is not a checkpoint.
    """
    try:
        return hashlib.sha256(b"".join(path.read_bytes() for path in weight_files(folder))).hexdigest()[:16]
    except OSError:
        raise UserError(f"{folder} is not a checkpoint: it has no {WEIGHTS}; name another") from None


def checkpoint_weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint folder.

    Raises:
        UserError: a file is missing or damaged.
    """
    read = {name: tensor for file in weight_files(folder) for name, tensor in read_weights(file).items()}
    return {EARLIER.sub(lambda old: RENAMED[old[0]], name): tensor for name, tensor in read.items()}


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the checkpoint is not whole, fetch or train it again") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is truncated or damaged ({error}); fetch or train it again") from None
