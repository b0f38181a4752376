"""What a network says the robot should do, as what a robot may do."""

import numpy as np
from torch import Tensor

from presage.networks.world_model import WorldModel


def executable(model: WorldModel, token: Tensor) -> np.ndarray:
    """Action tokens (B, 1, C) -> chunk (B, chunk, A), kept inside the range of the training actions.

    The codec maps their 1 % and 99 % quantiles to -1 and 1; a sample beyond is noise that a robot should not execute
    (Chi et al. 2023, Diffusion Policy, clip their samples alike).
    """
    return model.decode_action(token.clamp(-1, 1))
