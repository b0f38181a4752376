"""Streams: what a model step is made of, and the flat token sequence the network sees."""

from dataclasses import dataclass

import torch
from torch import Tensor

VIDEO, SCENE, ACTION, STATE, PROGRESS = "video", "scene", "action", "state", "progress"


@dataclass(frozen=True)
class Stream:
    """One kind of token. `name` is `video.<camera>`, `scene`, `action`, `state` or `progress`."""

    name: str
    tokens: int
    """Tokens per model step."""
    dim: int
    """Numbers per token."""

    @property
    def kind(self) -> str:
        return self.name.split(".")[0]

    @property
    def is_query(self) -> bool:
        """Regressed in one step from a learned query, and seen by no other token (corruption "none")."""
        return self.kind == PROGRESS

    @property
    def is_view(self) -> bool:
        """Another view of what the block shows, computed when it is embedded and never predicted: all cameras and the
        state as one token, so that one network sees where things are (networks/reader.py)."""
        return self.kind == SCENE

    @property
    def is_denoised(self) -> bool:
        """Has values of its own that a plan can walk down."""
        return not self.is_query and not self.is_view


@dataclass(frozen=True)
class Tokens:
    """What the attention rules know of each of S tokens."""

    block: Tensor
    """(S,) block index: absolute time."""
    copy: Tensor
    """(S,) 0 for the clean copy (truth, or an imagination taken as such), a positive number per noisy copy."""
    query: Tensor
    """(S,) bool: belongs to a query stream."""

    @staticmethod
    def cat(parts: list["Tokens"]) -> "Tokens":
        return Tokens(*[torch.cat([getattr(p, f) for p in parts]) for f in ("block", "copy", "query")])


def block_tokens(streams: list[Stream], block: int, copy: int, device: torch.device | None = None) -> Tokens:
    """The tokens of one block that holds `streams`, in that order."""
    query = torch.cat([torch.full((s.tokens,), s.is_query) for s in streams])
    n = len(query)
    return Tokens(
        torch.full((n,), block, device=device), torch.full((n,), copy, device=device), query.to(device=device)
    )
