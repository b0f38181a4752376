"""Observe, decide, execute: a policy is whatever is decided over a session that has just been grounded.

    policy = GroundedPolicy(model, joint)
    policy.reset(["open the drawer"])
    chunk = policy.act(observation)

A decision is a function from a session to an action chunk; `joint.py`, `closed_loop.py`, `representation.py` and
`simulator/planning.py` are such functions.
"""

from collections.abc import Callable

import numpy as np

from presage.policy.executors import CONTEXT, Acting, OpenLoop
from presage.timeline.session import Session
from presage.timeline.streams import Values

__all__ = ["CONTEXT", "Acting", "Decision", "GroundedPolicy"]

Decision = Callable[[Session], np.ndarray]
"""Session, its newest block real -> action chunk (B, chunk, A) to execute now."""


class GroundedPolicy(OpenLoop):
    """A `Policy` that sees every real frame: plans of one chunk (`executors.py`)."""

    def __init__(
        self, model: Acting, decide: Decision, quality: float = 1.0, seed: int = 0, context: int | None = CONTEXT
    ) -> None:
        super().__init__(model, self._plan, 1, context, quality, seed)
        self.decide = decide

    def _plan(self, session: Session) -> np.ndarray:
        return self.decide(session)[None]

    def aim(self, goal: Values) -> None:
        """Tell what is to be reached, after a reset: values (N, T, C) of a frame."""
        self.session.aim(goal)
