"""Do what play did where a later frame was the goal: the policy beside which planning to a goal is judged."""

import numpy as np

from presage.networks.executable import executable
from presage.policy.grounded import Decision
from presage.timeline.session import Session


def cloned(part: str = "cloning") -> Decision:
    """The chunk (B, chunk, A) that the model's part of that name says, of the newest frame and the session's goal."""

    def decide(session: Session) -> np.ndarray:
        said = session.model.parts[part](session.last.values, session.condition.goal)
        return executable(session.model, said[:, None])

    return decide
