"""The base policy, which is the scene reader, executed as it is: behaviour cloning on the world model's codec and data,
with no world model. The control that tells what all the rest adds."""

import numpy as np

from presage.errors import UserError
from presage.networks.executable import executable
from presage.timeline.session import Session


def base_policy(session: Session) -> np.ndarray:
    """Chunk (B, chunk, A) of the base policy for the newest frame.

    Raises:
        UserError: the model has no reader.
    """
    newest = {name: x[:, None] for name, x in session.last.values.items()}
    chunk = session.model.base_policy(newest, session.condition.text)
    if chunk is None:
        raise UserError("this model has no scene reader that says actions: use another policy")
    return executable(session.model, chunk[:, 0])
