"""Attention rules: who may look at whom, as small functions that compose, compiled to one dense boolean mask.

A rule maps the queries' and keys' `Tokens` to a boolean (Q, K) matrix.
"""

from collections.abc import Callable

from torch import Tensor

from presage.timeline.streams import Tokens

Rule = Callable[[Tokens, Tokens], Tensor]


def clean_past(window: int) -> Rule:
    """Clean tokens see their own block and `window` clean blocks before it; noisy ones only the blocks before, and at
    least the newest: with a window of 0 every frame is read as if it were the first."""

    def rule(q: Tokens, k: Tokens) -> Tensor:
        age = q.block[:, None] - k.block[None, :]
        newest = (q.copy > 0).long()[:, None]  # a noisy block must not see the clean copy of itself
        return (k.copy == 0)[None, :] & (age >= newest) & (age <= newest.clamp(min=window))

    return rule


def own_noisy_block(q: Tokens, k: Tokens) -> Tensor:
    """A noisy block sees itself: the tokens of the same copy of the same block."""
    same = (q.copy[:, None] == k.copy[None, :]) & (q.block[:, None] == k.block[None, :])
    return same & (q.copy > 0)[:, None]


def queries_unseen(q: Tokens, k: Tokens) -> Tensor:
    """Query tokens are seen by nobody but their own stream in their own block and copy (GR-1, section 3.2)."""
    same = (q.copy[:, None] == k.copy[None, :]) & (q.block[:, None] == k.block[None, :])
    return ~k.query[None, :] | (same & q.query[:, None])


def either(*rules: Rule) -> Rule:
    def rule(q: Tokens, k: Tokens) -> Tensor:
        out = rules[0](q, k)
        for r in rules[1:]:
            out = out | r(q, k)
        return out

    return rule


def both(*rules: Rule) -> Rule:
    def rule(q: Tokens, k: Tokens) -> Tensor:
        out = rules[0](q, k)
        for r in rules[1:]:
            out = out & r(q, k)
        return out

    return rule


def timeline_rule(window: int) -> Rule:
    """presage's own rule: teacher-forced clean past within `window` blocks, plus the block being denoised."""
    return both(either(clean_past(window), own_noisy_block), queries_unseen)
