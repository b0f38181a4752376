"""What a person holds while driving: keys, mouse or gamepad, as the action of the next step."""

import numpy as np

ABRUPT = 0.5
"""Change of an action, of its range of -1 to 1, that is answered at once."""


class Controls:
    """What a person holds, with the time of its last change on the browser's clock.

    An abrupt change (a key, not a mouse that glides) asks for a step at once. A press that ends before a step could
    heed it is not lost: its release waits for the step after.
    """

    def __init__(self, size: int) -> None:
        self.action, self.stamp = np.zeros(size, np.float32), 0.0
        self._waiting: list[tuple[np.ndarray, float, bool]] = []

    def change(self, action: np.ndarray, stamp: float) -> None:
        last = self._waiting[-1][0] if self._waiting else self.action
        abrupt = bool(np.abs(action - last).max() >= ABRUPT)
        if len(self._waiting) == 2 or (self._waiting and not abrupt):
            abrupt |= self._waiting.pop()[2]
        self._waiting.append((action, stamp, abrupt))

    @property
    def urgent(self) -> bool:
        return any(abrupt for _, _, abrupt in self._waiting)

    def heed(self) -> np.ndarray:
        """The action (A,) of the next step."""
        if self._waiting:
            self.action, self.stamp, _ = self._waiting.pop(0)
        return self.action
