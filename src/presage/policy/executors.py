"""Executors: how often a policy looks, and what it does between two looks. Each turns a decision into a `Policy`.

    policy = Receding(model, decide)                # look, decide, execute a chunk, look again
    policy = OpenLoop(model, plan)                  # look once, execute the whole plan blindly

A decision is a function of a session whose newest block is real.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor

from presage.timeline.noise import streams
from presage.timeline.session import Model, Session
from presage.worlds.protocol import Observation, streams_of


class Actor(Model, Protocol):
    """A model that a robot can follow."""

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """(chunk, A)"""
        ...

    def decode_action(self, values: Tensor) -> np.ndarray:
        """(B, T, C) -> (B, chunk, A) raw."""
        ...


M = TypeVar("M", bound=Actor)
Decision = Callable[[Session[M]], np.ndarray]
"""The chunk (B, chunk, A) to execute now"""
Plan = Callable[[Session[M]], np.ndarray]
"""Chunks (H, B, chunk, A) to execute one after the other"""


class OpenLoop(Generic[M]):
    """Looks, plans, executes the first `horizon` chunks of the plan without looking, and plans anew: open loop for the
    whole plan (Du et al. 2023, UniPi, section 3.3), closed for one.

    Args:
        horizon: chunks executed of each plan; None: all.
        context: steps of past that are seen. 0: an expert's next chunk is nearly its last one, so a policy that sees
            its own past learns to repeat itself (de Haan et al. 2019).
        seed: of the noise; an episode's follows from it and from the observation's `episode`.
    """

    def __init__(
        self, model: M, plan: Plan[M], horizon: int | None = None, context: int = 0, quality: float = 1.0, seed: int = 0
    ) -> None:
        self.model, self.plan, self.horizon = model, plan, horizon
        self.context, self.quality, self.seed = context, quality, seed
        self.session: Session[M]
        self.rows: np.ndarray
        self.ahead: list[np.ndarray]
        self.executed: np.ndarray | None

    def reset(self, instructions: list[str]) -> None:
        self.session = Session(self.model, instructions, self.quality, self.seed, self.context)
        self.rows, self.ahead, self.executed = np.arange(len(instructions)), [], None

    def act(self, observation: Observation) -> np.ndarray:
        """The next chunk of the plan; rows that `observation["active"]` (N,) says are finished are dropped for good."""
        self._keep(observation)
        count = len(next(iter(observation.values())))
        out = np.zeros((count, *self.model.chunk_shape), np.float32)
        if not len(self.rows):
            return out
        if not self.ahead:
            self.session.observe({k: x[self.rows] for k, x in streams_of(observation).items()}, self.executed)
            plan = self.plan(self.session)
            self.ahead = list(plan[: self.horizon])
        self.executed = out[self.rows] = self.ahead.pop(0)
        return out

    def _keep(self, observation: Observation) -> None:
        active, episode = observation.get("active"), observation.get("episode")
        if episode is not None and self.session.step < 0:
            self.session.noise = streams([(self.seed, number) for number in episode.tolist()], len(episode))
        if active is None or active[self.rows].all():
            return
        kept = np.flatnonzero(active[self.rows])
        self.session.keep(kept)
        self.rows, self.ahead = self.rows[kept], [chunk[kept] for chunk in self.ahead]
        self.executed = None if self.executed is None else self.executed[kept]


class Receding(OpenLoop[M]):
    """Looks after every chunk."""

    def __init__(
        self, model: M, decide: Decision[M], context: int = 0, quality: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__(model, lambda session: decide(session)[None], 1, context, quality, seed)
