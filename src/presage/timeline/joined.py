"""Sessions that live apart, run as one batch: robots that ask at the same time share a pass through the network.

    together = JoinedSession(sessions)     # they need not be at the same step, only see equally many blocks
    together.observe(observation, executed)
    chunk = joint(together)
    together.part()                        # each session has its row of what was observed

Keys and values of the past are concatenated on the batch axis. A row keeps its own clock: keys in its cache are
rotated by its own block indices, so what it asks is rotated by them too. It also keeps its own noise. So a session
computes what it would have computed alone, up to the rounding of larger matrix products.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from presage.networks.transformer import KV
from presage.timeline.session import Block, Session
from presage.timeline.streams import Tokens


def joinable(session: Session) -> Hashable:
    """Sessions of equal keys can be joined."""
    ages = tuple((session.grounded - block.index, block.memory is None) for block in _seen(session))
    return id(session.model), session.quality, session.window, ages


class JoinedSession(Session):
    """The batches of `sessions` in a row, on the clock of the first. What was imagined in them is dropped.

    Raises:
        ValueError: they are of different models or qualities, or see different numbers of blocks.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        if len({joinable(s) for s in sessions}) != 1:
            raise ValueError("only sessions of one model and quality that see equally many blocks can be joined")
        first = sessions[0]
        self.sessions = list(sessions)
        self.model, self.quality, self.window, self._rule = first.model, first.quality, first.window, first._rule
        self.noise = [row for s in sessions for row in s.noise]
        self.text = torch.cat([s.text for s in sessions])
        self.blocks = [_join(blocks) for blocks in zip(*map(_seen, sessions), strict=True)]
        self._past, self._grounded = list(self.blocks), [s.grounded for s in sessions]
        self._shift_B11 = torch.cat([_clock(s) + s.grounded - first.grounded for s in sessions])

    def part(self) -> None:
        """Give every session its rows of the blocks that were appended since."""
        new = [b for b in self.blocks if b not in self._past]
        kept = self.step - len(new) - self._grounded[0]
        end = 0
        for session, grounded in zip(self.sessions, self._grounded, strict=True):
            rows, shift = slice(end, end + session.batch), grounded - self._grounded[0]
            session.blocks = [b for b in session.blocks if b.index <= grounded + min(0, kept)]
            session.blocks += [_rows(b, rows, shift) for b in new]
            session._evict()
            end = rows.stop

    def keep(self, rows: list[int] | np.ndarray) -> None:
        raise ValueError("part the sessions first: rows of each are dropped by its own keep")


def _seen(session: Session) -> list[Block]:
    """The blocks that one after the newest real one would see."""
    newest = session.grounded
    return [b for b in session.blocks if newest - session.reach < b.index <= newest]


def _clock(session: Session) -> Tensor:
    """(B, 1, 1) by how much rows are ahead of the session's own clock."""
    none = torch.zeros(session.batch, 1, 1, dtype=torch.long, device=session.model.device)
    return none if session._shift_B11 is None else session._shift_B11


def _join(blocks: Sequence[Block]) -> Block:
    """Blocks of the same age, one a session, as one."""
    kv = KV(*(torch.cat([getattr(b.kv, part) for b in blocks], 1) for part in KV._fields))
    shared = [name for name in blocks[0].values if all(name in b.values for b in blocks)]  # a first block has no action
    values = {name: torch.cat([b.values[name] for b in blocks]) for name in shared}
    memories = [b.memory for b in blocks if b.memory is not None]  # all of them or none (`joinable`)
    memory = torch.cat(memories) if memories else None
    return replace(blocks[0], values=values, kv=kv, progress=torch.cat([b.progress for b in blocks]), memory=memory)


def _rows(block: Block, rows: slice, shift: int) -> Block:
    """Rows of a block, on their session's clock; copied, so that a session that waits does not hold the whole batch."""
    tokens = Tokens(block.tokens.block + shift, block.tokens.copy, block.tokens.query)
    own = block.each(lambda x, dim: x.narrow(dim, rows.start, rows.stop - rows.start).clone())
    return replace(own, index=block.index + shift, tokens=tokens)
