"""Planners: search for actions whose imagined outcome scores best.

    search(session, propose, score) -> Plan

`propose` gives candidates to begin with, `score` says how good each is, and a search decides what is tried next. The
session stays where it is. What is searched need not be the model's own action values: `planned` unfolds it.

Shapes: B rows of a session, N candidates, H steps ahead, D numbers of what is searched at a step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from presage.networks.executable import executable
from presage.timeline.levels import Schedule
from presage.timeline.noise import draw
from presage.timeline.session import Session

Propose = Callable[[Session, int], Tensor]
"""Session, N -> candidates (B, N, H, D)"""
Score = Callable[[Session, Tensor], Tensor]
"""Session, candidates (B, N, H, D) -> (B, N), higher is better"""
Unfold = Callable[[Tensor], Tensor]
"""What is searched (..., D) -> the model's action values (..., C)"""


@dataclass(frozen=True)
class Plan:
    """The best that was tried."""

    actions: Tensor
    """(B, H, D)"""
    score: Tensor
    """(B,)"""
    tried: Tensor
    """(B, ...) scores of all candidates, in the order in which they were tried"""


class Search(Protocol):
    def __call__(self, session: Session, propose: Propose, score: Score) -> Plan: ...


def uniform(horizon: int, dim: int, radius: float = 1.0) -> Propose:
    """Evenly in the ball of the largest norm around zero: no number is beyond `radius`. Random shooting is `BestOf` of
    these."""

    def propose(session: Session, n: int) -> Tensor:
        normal = draw(session.noise, (n, horizon, dim), session.model.device)
        return radius * (2 * torch.special.ndtr(normal) - 1)

    return propose


def shifted(spread: float) -> Propose:
    """One step of what the model would do itself, imagined once with the video it leads to; each candidate is shifted
    by an offset of its own for all actions of the step, of standard deviation `spread` in half action ranges."""
    schedule = Schedule.joint(2)

    def propose(session: Session, n: int) -> Tensor:
        acting = next(s for s in session.backbone.streams if s.acts)
        chunk, dim = session.model.chunk_shape
        own = session.imagine(schedule).values[acting.name].flatten(1)
        offset = draw(session.noise, (n, dim), own.device).repeat(1, 1, chunk)
        return (own[:, None] + spread * offset).clamp(-1, 1)[:, :, None]

    return propose


@dataclass(frozen=True)
class BestOf:
    """The best of n that are proposed."""

    n: int

    def __call__(self, session: Session, propose: Propose, score: Score) -> Plan:
        candidates = propose(session, self.n)
        return _best(candidates, score(session, candidates))


@dataclass(frozen=True)
class CEM:
    """The cross-entropy method (Rubinstein 1999): the best of each iteration say where the next one looks. As V-JEPA
    2-AC plans (Assran et al. 2025, section 3.2): Gaussian samples kept in a ball around zero.

    With one iteration it is `BestOf`.
    """

    samples: int = 64
    """Of each iteration"""
    iterations: int = 4
    elites: int = 8
    momentum: float = 0.15
    """Share of the last mean and spread that stays"""
    radius: float = 1.0
    """No number of a candidate is further from zero"""

    def __post_init__(self) -> None:
        if not 2 <= self.elites <= self.samples:
            raise ValueError(f"{self.elites} elites of {self.samples} samples: a spread is that of at least two")

    def __call__(self, session: Session, propose: Propose, score: Score) -> Plan:
        candidates = propose(session, self.samples).clamp(-self.radius, self.radius)
        scores = score(session, candidates)
        plan, mean, spread = _best(candidates, scores), candidates.mean(1, True), candidates.std(1, keepdim=True)
        for _ in range(1, self.iterations):
            chosen = _rows(candidates, scores.topk(self.elites, 1).indices)
            mean = torch.lerp(chosen.mean(1, True), mean, self.momentum)
            spread = torch.lerp(chosen.std(1, keepdim=True), spread, self.momentum)
            normal = draw(session.noise, candidates.shape[1:], candidates.device)
            candidates = (mean + spread * normal).clamp(-self.radius, self.radius)
            scores = score(session, candidates)
            plan = _better(plan, _best(candidates, scores))
        return plan


@dataclass(frozen=True)
class Gradient:
    """Ascent of the score through the model, each step clipped (Qi et al. 2025, GPC, section 4.3): `starts` that are
    proposed, all of them improved."""

    starts: int = 8
    steps: int = 10
    rate: float = 0.1
    """Length of a step: no number of a candidate moves further"""
    radius: float = 1.0

    def __call__(self, session: Session, propose: Propose, score: Score) -> Plan:
        """Raises:
        ValueError: the score says nothing of the way up.
        """
        smooth = session.with_gradients()
        candidates = propose(session, self.starts).clone()
        plan = None
        for i in range(self.steps + 1):
            candidates.requires_grad_(True)
            with torch.enable_grad():
                scores = score(smooth, candidates)
            if not scores.requires_grad:
                raise ValueError("a gradient search needs a score that can be differentiated")
            now = _best(candidates.detach(), scores.detach())
            plan = now if plan is None else _better(plan, now)
            if i < self.steps:
                (up,) = torch.autograd.grad(scores.sum(), candidates)
                largest = up.abs().amax((-2, -1), keepdim=True).clamp(min=1e-12)
                candidates = (candidates.detach() + self.rate * up / largest).clamp(-self.radius, self.radius)
        assert plan is not None
        return plan


def held(chunk: int) -> Unfold:
    """The same action (..., A) in all steps of a chunk, (..., chunk * A): a search over displacements of a row."""
    return lambda actions: actions.repeat(*[1] * (actions.ndim - 1), chunk)


def planned(
    search: Search, propose: Propose, score: Score, unfold: Unfold = lambda actions: actions
) -> Callable[[Session], np.ndarray]:
    """The decision (see `policy/grounded.py`) that executes the first step of what a search found."""

    def decide(session: Session) -> np.ndarray:
        plan = search(session, propose, lambda session, candidates: score(session, unfold(candidates)))
        return executable(session.model, unfold(plan.actions[:, :1]))

    return decide


def committed(search: Search, propose: Propose, score: Score) -> Callable[[Session], np.ndarray]:
    """The plan (see `policy/executors.py`) of all steps that a search found."""

    def plan(session: Session) -> np.ndarray:
        found = search(session, propose, score).actions
        return np.stack([executable(session.model, found[:, h : h + 1]) for h in range(found.shape[1])])

    return plan


def _rows(candidates: Tensor, index_BK: Tensor) -> Tensor:
    """(B, K, H, D)"""
    return candidates[torch.arange(len(candidates), device=candidates.device)[:, None], index_BK]


def _best(candidates: Tensor, scores: Tensor) -> Plan:
    best = scores.argmax(1, keepdim=True)
    return Plan(_rows(candidates, best)[:, 0], scores.gather(1, best)[:, 0], scores)


def _better(first: Plan, second: Plan) -> Plan:
    wins = second.score > first.score
    actions = torch.where(wins[:, None, None], second.actions, first.actions)
    score = torch.where(wins, second.score, first.score)
    return Plan(actions, score, torch.cat([first.tried, second.tried], 1))
