"""What to do, by sampling: a schedule of noise levels says what else is imagined with the action."""

import numpy as np

from presage.networks.composed import ACTION
from presage.networks.executable import executable
from presage.policy.executors import Plan
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


def ahead(schedule: Schedule, chunks: int) -> Plan:
    """Chunks (chunks, B, chunk, A) imagined one after the other, each after what the ones before it led to."""

    def plan(session: Session) -> np.ndarray:
        fork, out = session.fork(1), []
        acting = next(s.name for s in session.backbone.streams if s.acts)
        for _ in range(chunks):
            values = fork.imagine(schedule).values
            out.append(executable(session.model, values[acting]))
            fork.append(values, imagined=True)
        return np.stack(out)

    return plan
