"""Observe, decide, execute: a policy is whatever is decided over a session that has just been grounded.

    policy = GroundedPolicy(model, joint)
    policy.reset(["open the drawer"])
    chunk = policy.act(observation)

A decision is a function from a session to an action chunk; `joint.py`, `closed_loop.py`, `representation.py` and
`simulator/planning.py` are such functions.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from torch import Tensor

from presage.timeline.noise import streams
from presage.timeline.session import Model, Session
from presage.timeline.streams import Values
from presage.worlds.protocol import Observation

MEMORY = 0
"""Blocks of past a policy sees. The expert's next chunk is nearly its last one, so a policy that sees its own past
learns to repeat itself instead of reading the goal (de Haan et al. 2019, "Causal confusion in imitation learning")."""

Decision = Callable[[Session], np.ndarray]
"""Session, its newest block real -> action chunk (B, chunk, A) to execute now."""


class Acting(Model, Protocol):
    """A model that says what to do."""

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """(chunk, A): actions between two steps."""
        ...

    def decode_action(self, token: Tensor) -> np.ndarray:
        """Values (B, T, C) -> (B, chunk, A) raw."""
        ...


class GroundedPolicy:
    """A `Policy` that sees every real frame.

    Args:
        decide: what to do, given the session.
        context: steps of past that it sees; none by default.
        quality: how well to behave: 1 like the expert.
        seed: of the sampler's noise, the same after every reset: an episode's is its own, or that of its place in the
            batch where the observation has no `episode`.
    """

    def __init__(
        self, model: Acting, decide: Decision, quality: float = 1.0, seed: int = 0, context: int | None = MEMORY
    ) -> None:
        self.model, self.decide, self.quality, self.seed, self.context = model, decide, quality, seed, context
        self.session: Session
        self.rows: np.ndarray
        self.executed: np.ndarray | None

    def reset(self, instructions: list[str]) -> None:
        self.session = Session(self.model, instructions, self.quality, self.seed, self.context)
        self.rows = np.arange(len(instructions))
        self.executed = None

    def aim(self, goal: Values) -> None:
        """Tell what is to be reached, after a reset: values (N, T, C) of a frame."""
        self.session.aim(goal)

    def act(self, observation: Observation) -> np.ndarray:
        """Observe and decide. Rows that `observation["active"]` (N,) says are finished are dropped for good."""
        observation = dict(observation)
        active, episode = observation.pop("active", None), observation.pop("episode", None)
        if episode is not None and self.session.step < 0:
            self.session.noise = streams([(self.seed, number) for number in episode.tolist()], len(episode))
        count = len(next(iter(observation.values())))
        if active is not None and not active[self.rows].all():
            kept = np.flatnonzero(active[self.rows])
            keep_rows(self.session, kept)
            self.rows = self.rows[kept]
            self.executed = None if self.executed is None else self.executed[kept]
        chunks = np.zeros((count, *self.model.chunk_shape), np.float32)
        if len(self.rows):
            self.session.observe({name: x[self.rows] for name, x in observation.items()}, self.executed)
            self.executed = chunks[self.rows] = self.decide(self.session)
        return chunks


def keep_rows(session: Session, rows: np.ndarray) -> None:
    """Drop all but `rows` of a session's batch, so that finished episodes cost nothing."""
    session.keep(rows)
