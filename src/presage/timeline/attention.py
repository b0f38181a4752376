"""Attention rules: who may look at whom, as small functions that compose, compiled to one dense boolean mask.

A rule maps the queries' and keys' `Tokens` to a boolean (Q, K) matrix. It is an argument of a transformer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """What rules know of each of S tokens."""

    step: Tensor
    """(S,) step of the timeline"""
    copy: Tensor
    """(S,) 0 for history, a positive number per question"""
    first: Tensor
    """(S,) first step of the question that it belongs to, its own step in history"""
    acts: Tensor
    """(S,) bool: of what the robot does, where that is asked for: what a question is given counts as seen"""
    unseen: Tensor
    """(S,) bool: only its own stream looks at it"""

    @staticmethod
    def cat(parts: list["Tokens"]) -> "Tokens":
        fields = ("step", "copy", "first", "acts", "unseen")
        return Tokens(*[torch.cat([getattr(p, f) for p in parts]) for f in fields])

    def __getitem__(self, which: Tensor) -> "Tokens":
        return Tokens(self.step[which], self.copy[which], self.first[which], self.acts[which], self.unseen[which])


Rule = Callable[[Tokens, Tokens], Tensor]


def history(context: int) -> Rule:
    """History sees its own step and `context` steps before it; a question sees as many steps before its first, and at
    least the newest: with a context of 0 every step is read as if it were the first."""

    def rule(q: Tokens, k: Tokens) -> Tensor:
        age = q.first[:, None] - k.step[None, :]
        newest = (q.copy > 0).long()[:, None]  # a question must not see the truth that it asks for
        return (k.copy == 0)[None, :] & (age >= newest) & (age <= newest.clamp(min=context))

    return rule


def same_question(q: Tokens, k: Tokens) -> Tensor:
    """A question sees itself, and no other."""
    same = (q.copy[:, None] == k.copy[None, :]) & (q.first[:, None] == k.first[None, :])
    return same & (q.copy > 0)[:, None]


def unseen(q: Tokens, k: Tokens) -> Tensor:
    """Queries are seen by nobody but their own stream in their own step and question (GR-1, section 3.2)."""
    same = (q.copy[:, None] == k.copy[None, :]) & (q.step[:, None] == k.step[None, :])
    return ~k.unseen[None, :] | (same & q.unseen[:, None])


def one_way(q: Tokens, k: Tokens) -> Tensor:
    """What is seen does not look at what the robot does in the same question, unless that is given: the video comes
    before the action that leads to it, and after one that is told (LingBot-VA, sections 3.2 and 3.4)."""
    return ~(k.acts[None, :] & ~q.acts[:, None] & (q.copy > 0)[:, None] & (k.copy > 0)[None, :])


def causal(q: Tokens, k: Tokens) -> Tensor:
    """Within a question of several steps, none looks at a later one."""
    return k.step[None, :] <= q.step[:, None]


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


def teacher_forced(context: int, *more: Rule) -> Rule:
    """Clean history within `context` steps, plus the question itself; `more` rules forbid further."""
    return both(either(history(context), same_question), unseen, *more)
