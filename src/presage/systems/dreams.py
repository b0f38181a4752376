"""How a checkpoint dreams: of a world model or of a system, what chunks of actions lead to, in pictures."""

from pathlib import Path

import numpy as np
import torch

from presage.errors import UserError
from presage.networks.composed import IMAGE, Composed
from presage.simulator.frames.imagine import Imagines, as_shipped, denoised, session_imagines
from presage.simulator.recordings import Sight, sight_of
from presage.systems.checkpoint import open_system
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.training.checkpoint import load_model, read_config

DENOISING = 5
"""Steps in which a system makes a frame, unless it is told"""


def imagines_of(folder: Path, denoising: int | None = None, seed: int = 0) -> Imagines:
    """denoising: steps of a frame; by default `DENOISING` of a system, and as it ships of a world model.

    Raises:
        UserError: it is damaged, or of a system that makes no pictures of what actions lead to.
    """
    if "system" not in read_config(folder):
        return session_imagines(load_model(folder), as_shipped(denoising or 0), seed)
    system, model = open_system(folder)
    try:
        _try(model, sight_of(folder))
    except ValueError as error:
        raise UserError(
            f"{folder}: {system.card.name} makes no pictures of what given actions lead to ({error})"
        ) from None
    return session_imagines(model, denoised(DENOISING if denoising is None else max(1, denoising)), seed)


@torch.inference_mode()
def _try(model: Composed, sight: Sight) -> None:
    """Imagine one frame of one action.

    Raises:
        ValueError: the model has no stream of actions, cannot be given them, or has no way back to pictures.
    """
    acts = next((s for s in model.streams if s.acts), None)
    if acts is None:
        raise ValueError("it has no actions")
    session = Session(model, ["do the task"])
    seen = {s.source: np.zeros((1, sight.size, sight.size, 3), np.uint8) for s in model.streams if IMAGE in s.source}
    session.observe({**seen, "state": np.zeros((1, sight.state_dim), np.float32)})
    given = {acts.name: torch.zeros(1, acts.tokens, acts.dim, device=model.device)}
    shown = model.decode_images(session.imagine(Schedule.forward(1), given).values)
    if set(shown) != {f"{IMAGE}{camera}" for camera in sight.cameras}:
        raise ValueError(f"it imagines {', '.join(shown) or 'no camera'}")
