"""Executors: how often a policy looks, and what it does between two looks.

    policy = OpenLoop(model, plan)                  # look once, execute the whole plan blindly
    policy = OpenLoop(model, plan, horizon=1)       # look after every chunk, and plan anew
    policy = GroundedPolicy(model, decide)          # the same for a decision of one chunk (grounded.py)

`open_loop` and `receding` are these as the uses of a system.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from torch import Tensor

from presage.networks.composed import Composed
from presage.timeline.noise import streams
from presage.timeline.session import Model, Session
from presage.worlds.protocol import Observation, Policy, streams_of

CONTEXT = 0
"""Blocks of past a policy sees. The expert's next chunk is nearly its last one, so a policy that sees its own past
learns to repeat itself instead of reading the goal (de Haan et al. 2019, "Causal confusion in imitation learning")."""


class Acting(Model, Protocol):
    """A model that says what to do."""

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """(chunk, A): actions between two steps."""
        ...

    def decode_action(self, token: Tensor) -> np.ndarray:
        """Values (B, T, C) -> (B, chunk, A) raw."""
        ...


Plan = Callable[[Session], np.ndarray]
"""Session, its newest block real -> chunks (H, B, chunk, A) to execute one after the other."""


class OpenLoop:
    """Looks, plans, executes the first `horizon` chunks of the plan without looking, and plans anew: open loop for the
    whole plan (Du et al. 2023, UniPi, section 3.3), closed for one.

    Args:
        horizon: chunks executed of each plan; None: all.
        context: steps of past that it sees; none by default. What was seen before a plan was executed blindly counts
            as the step before.
        quality: how well to behave: 1 like the expert.
        seed: of the sampler's noise, the same after every reset: an episode's is its own, or that of its place in the
            batch where the observation has no `episode`.
    """

    latency = 0
    """Chunks still to be executed when it looks again"""

    def __init__(
        self,
        model: Acting,
        plan: Plan,
        horizon: int | None = None,
        context: int | None = CONTEXT,
        quality: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.model, self.plan, self.horizon = model, plan, horizon
        self.context, self.quality, self.seed = context, quality, seed
        self.session: Session
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
        if len(self.ahead) <= self.latency:
            self.session.observe({k: x[self.rows] for k, x in streams_of(observation).items()}, self.executed)
            self.ahead += list(self.plan(self.session)[: self.horizon])
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


def open_loop(
    plan: Plan, horizon: int | None = None, context: int | None = CONTEXT
) -> Callable[[Composed, int], OpenLoop]:
    """The use of a system that executes the first `horizon` chunks of each plan; None: all. context: steps of past that
    it sees; None: as many as the model."""
    return lambda model, seed: OpenLoop(model, plan, horizon, context, seed=seed)


def receding(decide: Callable[[Session], np.ndarray]) -> Callable[[Composed, int], Policy]:
    """The use of a system that looks and decides after every chunk."""
    return open_loop(lambda session: decide(session)[None], 1)
