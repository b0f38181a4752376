"""How a checkpoint dreams, of a world model or of a system: what chunks of actions lead to, in pictures."""

from pathlib import Path

import numpy as np

from presage.errors import UserError
from presage.networks.robot import RobotModel
from presage.simulator.frames.imagine import Imagines, Shown, as_shipped, session_imagines
from presage.systems.checkpoint import open_model
from presage.training.checkpoint import read_config


def imagines_of(folder: Path, denoising: int | None = None, seed: int = 0) -> Imagines:
    """denoising: steps of a frame; by default as many as the model takes.

    Raises:
        UserError: it is damaged, or of a system that makes no pictures of what actions lead to.
    """
    model = open_model(folder)
    imagine = session_imagines(model, as_shipped(denoising), seed)
    try:
        _try(imagine, model)
    except (ValueError, KeyError) as error:
        system = read_config(folder).get("system")
        raise UserError(f"{folder}: {system} makes no pictures of what given actions lead to ({error})") from None
    return imagine


def _try(imagine: Imagines, model: RobotModel) -> None:
    """Imagine a frame of black ones.

    Raises:
        ValueError: the model cannot be given an action, or has no way back to pictures.
        KeyError: it imagines no pictures.
    """
    seen = np.zeros((1, 1, len(model.cameras), model.size, model.size, 3), np.uint8)
    state, action = np.zeros((1, 1, model.state_dim), np.float32), np.zeros((1, 1, *model.chunk_shape), np.float32)
    imagine(Shown(seen, action[:, :0], state, ["do the task"], tuple(model.cameras)), action)
