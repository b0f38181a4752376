"""What to do, by sampling: a schedule of noise levels says what else is imagined with the action."""

import numpy as np

from presage.networks.composed import ACTION
from presage.networks.executable import executable
from presage.policy.grounded import Decision
from presage.timeline.levels import Schedule
from presage.timeline.session import Session


def sampled(schedule: Schedule) -> Decision:
    """The chunk (B, chunk, A) at the end of a schedule, of whatever model."""

    def decide(session: Session) -> np.ndarray:
        values = session.imagine(schedule).values
        acting = next(s.name for s in session.backbone.streams if s.acts)
        return executable(session.model, values[acting])

    return decide


def read_off(stream: str = ACTION) -> Decision:
    """The chunk (B, chunk, A) that the newest frame was asked for when it was read: no question of its own (Wu et al.
    2023, GR-1)."""

    def decide(session: Session) -> np.ndarray:
        return executable(session.model, session.last.answers[stream])

    return decide
