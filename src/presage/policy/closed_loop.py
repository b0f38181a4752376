"""Closed loop: imagine the next frame without any action, translate it into one, execute, look, and imagine again.

As open loop, but every plan is one block long and starts from the real frame (Black et al. 2023, SuSIE; Du et al. 2023,
UniPi, re-planned as fast as the model runs).
"""

import numpy as np

from presage.networks.executable import executable
from presage.timeline.expectation import Values
from presage.timeline.inverse import translate
from presage.timeline.levels import Plan
from presage.timeline.session import Session
from presage.timeline.streams import ACTION


def closed_loop(session: Session, video_steps: int = 2, action_steps: int = 1) -> np.ndarray:
    """Chunk (B, chunk, A) that leads to the frame the model would like to see next."""
    video = imagine_video(session, video_steps)
    return executable(session.model, translate(session, video, action_steps))


def imagine_video(session: Session, steps: int) -> Values:
    """Tokens of the next block's frames and state, the action left unknown."""
    dream = session.imagine(Plan.video_only(steps))
    return {name: x for name, x in dream.values.items() if name != ACTION}
