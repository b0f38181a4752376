"""Sessions that live apart, run as one batch: robots that ask at the same time share a pass through the network.

    together = JoinedSession(sessions)     # they need not be at the same step, only see equally many blocks
    together.observe(observation, executed)
    chunk = joint(together)
    together.part()                        # each session has its row of what was observed

A row keeps its own clock and its own noise, so a session computes what it would have computed alone, up to the rounding
of larger matrix products.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
import torch

from presage.timeline.memory import Memory, together
from presage.timeline.session import Block, Session


def joinable(session: Session) -> Hashable:
    """Sessions of equal keys can be joined."""
    ages = tuple((session.grounded - block.index, block.carried is None, block.entry.what) for block in _seen(session))
    told = tuple(sorted(session.condition.goal)), session.condition.gesture is None
    return id(session.model), session.quality, session.context, ages, told


class JoinedSession(Session):
    """The batches of `sessions` in a row, on the clock of the first. What was imagined in them is dropped.

    Raises:
        ValueError: they are of different models or qualities, or see different numbers of blocks.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        if len({joinable(s) for s in sessions}) != 1:
            raise ValueError("only sessions of one model and quality that see equally many blocks can be joined")
        first = sessions[0]
        self.__dict__.update(first.__dict__)
        self.sessions = list(sessions)
        self.noise = [row for s in sessions for row in s.noise]
        self.condition = together(torch.cat, [s.condition for s in sessions])
        self.past = Memory.join([Memory(tuple(_seen(s))) for s in sessions])
        self._before, self._grounded = self.past.entries, [s.grounded for s in sessions]
        self._shift_B = torch.cat([s._shift_B + s.grounded - first.grounded for s in sessions])

    def fork(self, n: int, seed: int | None = None) -> Session:
        """n futures of every row, as a session that is not to be parted."""
        lone = object.__new__(Session)
        lone.__dict__.update(self.__dict__)
        return lone.fork(n, seed)

    def part(self) -> None:
        """Give every session its rows of the blocks that were appended since."""
        new = [b for b in self.blocks if b not in self._before]
        kept = self.step - len(new) - self._grounded[0]
        end = 0
        for session, grounded in zip(self.sessions, self._grounded, strict=True):
            begin, end = end, end + session.batch
            # Copied, so that a session that waits does not hold the whole batch.
            rows = Memory(tuple(new)).select(torch.arange(begin, end, device=self.model.device))
            own = [replace(b, index=b.index + grounded - self._grounded[0]) for b in rows]
            session.past = Memory(tuple(b for b in session.blocks if b.index <= grounded + min(0, kept))).add(*own)
            session._evict()

    def keep(self, rows: list[int] | np.ndarray) -> None:
        raise ValueError("part the sessions first: rows of each are dropped by its own keep")


def _seen(session: Session) -> list[Block]:
    """The blocks that one after the newest real one would see."""
    newest = session.grounded
    return [b for b in session.blocks if newest - session.reach < b.index <= newest]
