"""A tiny random Wan on disk, written and loaded by the classes that write and load the published one."""

from pathlib import Path

import torch

from presage.codecs.scalars import ScalarCodec
from presage.networks.wan_model import WanWorldModel, open_wan, wan_config
from presage.networks.world_model import WorldModelConfig


def tiny_wan(folder: Path, window: int = 3, lora: int | None = 4, size: int = 32, awake: bool = True) -> WanWorldModel:
    """The backbone in `folder` for two cameras, chunks of 4 x 4 and a state of 4.

    awake: gates and outputs of added streams are made non-zero, so that everything depends on everything.
    """
    config = wan_config(folder, WorldModelConfig(window=window), size, lora)
    torch.manual_seed(0)
    codecs = ScalarCodec([0.0] * 16, [1.0] * 16), ScalarCodec([0.0] * 4, [1.0] * 4)
    model = open_wan(config, *codecs, torch.device("cpu"))
    if awake:
        network = model.network
        torch.nn.init.normal_(network.gates)
        torch.nn.init.normal_(network.quality.weight, std=0.2)
        for output in network.outputs.values():
            torch.nn.init.normal_(output.weight, std=0.2)
    return model
