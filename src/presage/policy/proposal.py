"""The scene reader's proposal, executed as it is: behaviour cloning on the world model's codec and data, with no world
model. The control that tells what all the rest adds."""

import numpy as np

from presage.errors import UserError
from presage.networks.executable import executable
from presage.timeline.session import Session
from presage.timeline.streams import ACTION


def proposal(session: Session) -> np.ndarray:
    """Chunk (B, chunk, A) that the reader proposes for the newest frame.

    Raises:
        UserError: the model has no reader.
    """
    proposed = session.proposed()
    if ACTION not in proposed:
        raise UserError("this model has no scene reader that proposes actions: use another policy")
    return executable(session.model, proposed[ACTION])
