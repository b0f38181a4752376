"""Joint generation: imagine what will be seen and what will be done together, and do it.

One block `(action, video, state)` is denoised as a whole, so the action is the one that leads to the imagined frame
(Guo et al. 2024, PAD; Zhu et al. 2025, UWM). Leaving the video out gives the control, "no imagination": the same
network, the same weights, the action alone.
"""

import numpy as np

from presage.networks.executable import executable
from presage.timeline.levels import Plan
from presage.timeline.session import Session
from presage.timeline.streams import ACTION


def joint(session: Session, steps: int = 2) -> np.ndarray:
    """Chunk (B, chunk, A) imagined together with the frame it leads to, in `steps` denoising steps."""
    dream = session.imagine(Plan.joint(steps))
    return executable(session.model, dream.values[ACTION])


def no_imagination(session: Session, steps: int = 1) -> np.ndarray:
    """Chunk (B, chunk, A) with the future left out: one token is denoised. The control, and the cheapest policy.

    One step of a network that predicts the clean token gives the mean action, which is what behaviour cloning learns.
    """
    dream = session.imagine(Plan.policy(steps))
    return executable(session.model, dream.values[ACTION])
