"""A trained system on disk: a folder of `config.json`, `model.safetensors` and `card.md` that opens again by itself."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from presage.codecs.scalars import ScalarCodec
from presage.device import default_device
from presage.errors import UserError
from presage.networks.composed import Composed, Shape
from presage.networks.robot import RobotModel
from presage.simulator.pairing import check_robot
from presage.systems.system import SIZES, System
from presage.systems.table import find, recipe
from presage.training.checkpoint import (
    FORMAT,
    WEIGHTS,
    load_model,
    read_config,
    read_weights,
    stored_weights,
    write_folder,
)


def system_of(name: str, shape: Shape, size: str) -> System:
    """A system by its name, for data of a shape.

    Raises:
        UserError: there is no such system, or it has no recipe yet.
    """
    row = find(name)
    built: System = getattr(recipe(row), row.name)(shape, SIZES[size])
    return built


def save_system(
    model: Composed, name: str, shape: Shape, size: str, folder: Path, card: str, extra: Mapping[str, Any]
) -> Path:
    """Write a checkpoint folder; an existing one is replaced only once the new one is whole. `extra` goes into
    `config.json`.

    Raises:
        UserError: it cannot be written.
    """
    config = {"format": FORMAT, "system": name, "size": size, "shape": asdict(shape), **extra}
    return write_folder(folder, config, {WEIGHTS: stored_weights(model)}, card)


def open_system(folder: Path, device: torch.device | None = None) -> tuple[System, Composed]:
    """The system of a checkpoint folder, and its model in eval mode.

    Raises:
        UserError: it is none of a system, or a file is missing, damaged, or of another presage.
    """
    config = read_config(folder)
    if "system" not in config:
        raise UserError(f"{folder} holds a world model and no system: open it with training.checkpoint.load_model")
    try:
        fields = dict(config["shape"])
        fields["cameras"] = tuple(fields["cameras"])
        fields |= {name: ScalarCodec(**fields[name]) for name in ("action_codec", "state_codec")}
        shape = Shape(**fields)
        system = system_of(config["system"], shape, config["size"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / 'config.json'}: field {error} does not fit; train it again") from None
    model = system.build(shape)
    try:
        model.load_state_dict({name: x.float() for name, x in read_weights(folder / WEIGHTS).items()})
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise UserError(f"{folder / WEIGHTS} is of another presage ({first}): train it again") from None
    return system, model.to(device or default_device()).eval()


def open_model(folder: Path, device: torch.device | None = None) -> RobotModel:
    """The model of a checkpoint folder, a system's or a world model's, in eval mode.

    Raises:
        UserError: a file is missing, damaged, or of another presage.
    """
    if "system" in read_config(folder):
        system, model = open_system(folder, device)
        model.uses = system.uses
        return model
    return load_model(folder, device)


def load_for(tasks: Iterable[str], folder: Path, device: torch.device | None = None) -> RobotModel:
    """The model of a checkpoint that is to act in, or dream of, the simulated `tasks`.

    Raises:
        UserError: the checkpoint is missing or damaged, or was trained on another robot than a task's.
    """
    check_robot(tasks, folder)
    return open_model(folder, device)
