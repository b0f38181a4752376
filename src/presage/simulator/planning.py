"""Planning: imagine several futures, act on the one that ends best.

Each decision forks the session into N futures. They start with N different chunks, go on as the model itself would, and
are ranked (best of N, the first iteration of the cross-entropy search in Zhou et al. 2024, DINO-WM): by the value
predicted for their last frame and by what a critic says of their first chunk (Q), where the model has one.
The ranking is an argument, so the controls are the same planner with another one: random choice, or a simulator.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from presage.episodes.steps import NO_INSTRUCTION
from presage.errors import UserError
from presage.networks.base import step, value_of
from presage.networks.executable import executable
from presage.networks.names import ACTION
from presage.networks.robot import RobotModel
from presage.simulator.scorers import critic_says
from presage.timeline.levels import Schedule
from presage.timeline.noise import draw
from presage.timeline.session import Session

CANDIDATES, HORIZON, SPREAD = 8, 1, 0.1
"""Futures of a decision, chunks that each is imagined ahead, and how far they differ. Further ahead the model repairs
what they differ in, and wider around a good policy there is more to lose than to find (docs/decisions.md)."""


@dataclass(frozen=True)
class Candidates:
    """N imagined futures of each of B rows. Candidate 0 is what the model would do without planning."""

    chunks: np.ndarray
    """(B, N, horizon, chunk, A)"""
    value: np.ndarray
    """(B, N) predicted at the end"""
    luck: np.ndarray
    """(B,) int64 drawn by each row, for a ranking that is to be blind"""
    q: np.ndarray | None = None
    """(B, N) of the first chunks, as the critic says; None where the model has none"""


Ranking = Callable[[Candidates], np.ndarray]
"""Candidates -> scores (B, N); the highest is executed."""


def by_value(candidates: Candidates) -> np.ndarray:
    """What the imagined frames promise."""
    return candidates.value


def by_q(candidates: Candidates) -> np.ndarray:
    """What the critic says, whatever was imagined.

    Raises:
        UserError: the model has no critic.
    """
    if candidates.q is None:
        raise UserError("this model has no critic; train one with presage train --only critic (docs/uses/planning.md)")
    return candidates.q


def by_both(candidates: Candidates) -> np.ndarray:
    """Planning proper. Both say how near success will be, from different inputs, so their errors differ; without a
    critic what the frames promise is all there is."""
    return by_value(candidates) if candidates.q is None else by_value(candidates) + by_q(candidates)


def at_random(seed: int) -> Ranking:
    """The control: one of the same candidates, drawn blindly."""

    def rank(candidates: Candidates) -> np.ndarray:
        n = candidates.value.shape[1]
        return np.stack([np.random.default_rng((seed, row)).random(n) for row in candidates.luck.tolist()])

    return rank


def imagine_candidates(
    session: Session, n: int, horizon: int, spread: float, steps: int = 2, keep_own: bool = True
) -> Candidates:
    """Fork into `n` futures of `horizon` chunks.

    Args:
        spread: standard deviation of what is added to the first chunk of candidates 1 ... n - 1, one offset for the
            whole chunk, in halves of the action range (1 is from the middle to the end).
        steps: denoising steps of the first chunks. Everything after them takes one: its mean is what a ranking needs.
        keep_own: candidate 0 is the model's own choice; False shifts it like the others, as for a policy that is as bad
            as its candidates.
    """
    batch = session.batch
    fork = session.fork(n)
    first = fork.imagine(Schedule.joint(steps)).values[ACTION]
    first = first + _offsets(fork, n, spread, keep_own).view_as(first)  # one token, or one an action
    chunks = [executable(session.model, first)]
    q = critic_says(session, session.model.encode_action(chunks[0]).view(batch, n, -1))
    step(fork, chunks[0])
    for _ in range(horizon - 1):
        chunks.append(executable(session.model, fork.imagine(Schedule.policy(1)).values[ACTION]))
        step(fork, chunks[-1])
    stacked = np.stack(chunks, 1)
    return Candidates(
        stacked.reshape(batch, n, *stacked.shape[1:]),
        value_of(fork).view(batch, n).cpu().numpy(),
        np.array([row.integers(2**63) for row in session.noise]),
        None if q is None else q.cpu().numpy(),
    )


def _offsets(fork: Session, n: int, spread: float, keep_own: bool) -> Tensor:
    """(B * n, chunk * A); zero for the first of each n if that is kept."""
    chunk, action_dim = fork.model.chunk_shape
    offset = draw(fork.noise, (1, action_dim), fork.model.device)
    if keep_own:
        offset[::n] = 0
    return spread * offset.repeat(1, 1, chunk)[:, 0]


def require_judge(model: RobotModel) -> None:
    """Raise `UserError` where a model cannot say how good an imagined future is."""
    observation = {f"image.{c}": np.zeros((1, model.size, model.size, 3), np.uint8) for c in model.cameras}
    observation["state"] = np.zeros((1, model.state_dim), np.float32)
    session = Session(model, [NO_INSTRUCTION])
    session.observe(observation)
    value_of(session)


def best_of(
    n: int = CANDIDATES,
    horizon: int = HORIZON,
    spread: float = SPREAD,
    rank: Ranking = by_both,
    keep_own: bool = True,
) -> Callable[[Session], np.ndarray]:
    """The decision (see `policy/grounded.py`) that executes the first chunk of the highest ranked of `n` futures."""

    def decide(session: Session) -> np.ndarray:
        candidates = imagine_candidates(session, n, horizon, spread, keep_own=keep_own)
        best = rank(candidates).argmax(1)
        return candidates.chunks[np.arange(len(best)), best, 0]

    return decide
