"""Motion by scripts: one manoeuvre after the other, each a row of actions."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np


class Scripted(ABC):
    """Who plays with a world's objects, manoeuvre by manoeuvre."""

    script: Iterator[np.ndarray] = iter(())

    def action(self) -> np.ndarray:
        """The next action (A,) float32 in [-1, 1]."""
        action = next(self.script, None)
        while action is None:
            self.script = self._manoeuvre()
            action = next(self.script, None)
        return action

    @abstractmethod
    def _manoeuvre(self) -> Iterator[np.ndarray]:
        """The actions of a manoeuvre that is drawn."""
