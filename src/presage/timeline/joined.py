"""Sessions that live apart, run as one batch: robots that ask at the same time share a pass through the network.

    together = JoinedSession(sessions)     # they need not be at the same step, only see equally many blocks
    together.observe(observation, executed)
    chunk = joint(together)
    together.part()                        # each session has its row of what was observed

Keys and values of the past are concatenated on the batch axis. A row keeps its own clock: keys in its cache are
rotated by its own block indices, so what it asks is rotated by them too. It also keeps its own noise. So a session
computes what it would have computed alone, up to the rounding of larger matrix products.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from presage.networks.transformer import KV
from presage.timeline.session import Block, Session
from presage.timeline.streams import Tokens


def joinable(session: Session) -> tuple[int, float, int, int]:
    """Sessions of equal keys can be joined."""
    real = sum(not block.imagined for block in session.blocks)
    return id(session.model), session.quality, session.window, min(real, session.reach)


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
        self.generator = first.generator
        self.text = torch.cat([s.text for s in sessions])
        seen = joinable(first)[-1]
        pasts = [[b for b in s.blocks if not b.imagined][-seen:] if seen else [] for s in sessions]
        self.blocks = [_join(blocks) for blocks in zip(*pasts, strict=True)]
        newest = [past[-1].index if past else -1 for past in pasts]
        self._joined_at = newest[0]
        shifts = torch.tensor([index - newest[0] for index in newest]).repeat_interleave(
            torch.tensor([s.batch for s in sessions])
        )
        self._shift_B11 = shifts[:, None, None].to(self.model.device)

    def part(self) -> None:
        """Give every session its rows of the blocks that were appended since."""
        new = [b for b in self.blocks if b.index > self._joined_at]
        end = 0
        for session in self.sessions:
            rows = slice(end, end + session.batch)
            shift = int(self._shift_B11[end])
            session.blocks = [b for b in session.blocks if not b.imagined] + [_rows(b, rows, shift) for b in new]
            session._evict()
            end = rows.stop

    def _times(self, tokens: Tokens) -> Tensor:
        return tokens.block + self._shift_B11

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.cat([s._noise((s.batch, *shape[1:])) for s in self.sessions])


def _join(blocks: Sequence[Block]) -> Block:
    """Blocks of the same age, one a session, as one."""
    kv = KV(*(torch.cat([getattr(b.kv, part) for b in blocks], 1) for part in KV._fields))
    shared = [name for name in blocks[0].values if all(name in b.values for b in blocks)]  # a first block has no action
    values = {name: torch.cat([b.values[name] for b in blocks]) for name in shared}
    memories = [b.memory for b in blocks if b.memory is not None]
    memory = torch.cat(memories) if len(memories) == len(blocks) else None
    return replace(blocks[0], values=values, kv=kv, progress=torch.cat([b.progress for b in blocks]), memory=memory)


def _rows(block: Block, rows: slice, shift: int) -> Block:
    """Rows of a block, on their session's clock; copied, so that a session that waits does not hold the whole batch."""
    tokens = Tokens(block.tokens.block + shift, block.tokens.copy, block.tokens.query)
    return replace(
        block,
        index=block.index + shift,
        values={name: x[rows].clone() for name, x in block.values.items()},
        kv=KV(block.kv.keys[:, rows].clone(), block.kv.values[:, rows].clone()),
        tokens=tokens,
        progress=block.progress[rows].clone(),
        memory=None if block.memory is None else block.memory[rows].clone(),
    )
