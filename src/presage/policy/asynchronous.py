"""Asynchronous execution: the robot goes on with what was decided before, while the next chunk is being decided.

    policy = Asynchronous(model, decide, latency=1)                                # naive: decides on an old frame
    policy = Asynchronous(model, decide, latency=1, foresee=forward(steps=3))      # grounded

A chunk begins `latency` rows after the frame that it was decided on, and in between the chunks run that were decided
earlier. The grounded executor first imagines where those lead, one forward step of the model for each, and decides from
there; the next real frame drops what was imagined (LingBot-VA, section 3.4 and algorithm 2). The delay is injected in
lock step: a row lasts as long as a row, however slow the model is.
"""

from collections.abc import Callable, Sequence

import numpy as np

from presage.policy.grounded import CONTEXT, Acting, Decision, keep_rows
from presage.policy.sampled import sampled
from presage.timeline.levels import GIVEN, Schedule, down, flat
from presage.timeline.noise import streams
from presage.timeline.session import Session
from presage.worlds.protocol import Observation, streams_of

Foresight = Callable[[Session, np.ndarray], object]
"""Steps a session into what a running chunk (B, chunk, A) leads to."""


def forward(steps: int, stop: float = 0.0) -> Foresight:
    """A step of the model under the running chunk, denoised down to level `stop` and remembered as that noisy."""
    schedule = Schedule(down(steps, stop), flat(GIVEN, steps))

    def foresee(session: Session, running: np.ndarray) -> None:
        acting = next(s for s in session.backbone.streams if s.acts)
        told = session.model.encode_action(running).flatten(1).unflatten(-1, (acting.tokens, acting.dim))
        session.append(session.imagine(schedule, {acting.name: told}).values, imagined=True, level=stop)

    return foresee


def decide_ahead(
    session: Session, running: Sequence[np.ndarray], decide: Decision, foresee: Foresight | None
) -> np.ndarray:
    """The chunk (B, chunk, A) to execute after `running`, of which the first has just begun. Without foresight it is
    the one that should have been executed now."""
    if foresee is not None:
        for chunk in running:
            foresee(session, chunk)
    return decide(session)


def asynchronous(
    schedule: Schedule, latency: int, foresee: Foresight | None = None, context: int | None = CONTEXT
) -> Callable[[Acting, int], "Asynchronous"]:
    """The use of a system (model, seed) that samples its chunks so many rows ahead."""
    return lambda model, seed: Asynchronous(model, sampled(schedule), latency, foresee, context, seed=seed)


class Asynchronous:
    """A `Policy` whose chunks begin `latency` rows after what they were decided on; with 0 it is `GroundedPolicy`.

    Args:
        foresee: what the running chunks lead to; None: naive, as if the frame were not old.
        context: steps of past that it sees; none by default.
        quality: how well to behave: 1 like the expert.
        seed: of the sampler's noise, the same after every reset: an episode's is its own, or that of its place in the
            batch where the observation has no `episode`.
    """

    def __init__(
        self,
        model: Acting,
        decide: Decision,
        latency: int,
        foresee: Foresight | None = None,
        context: int | None = CONTEXT,
        quality: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.model, self.decide, self.latency, self.foresee = model, decide, latency, foresee
        self.context, self.quality, self.seed = context, quality, seed
        self.session: Session
        self.rows: np.ndarray
        self.running: list[np.ndarray]
        self.executed: np.ndarray | None

    def reset(self, instructions: list[str]) -> None:
        self.session = Session(self.model, instructions, self.quality, self.seed, self.context)
        self.rows, self.executed = np.arange(len(instructions)), None
        # While it thinks for the first time the robot stands still.
        self.running = [np.zeros((len(instructions), *self.model.chunk_shape), np.float32)] * self.latency

    def act(self, observation: Observation) -> np.ndarray:
        """The chunk that is due. Rows that `observation["active"]` (N,) says are finished are dropped for good."""
        self._keep(observation)
        seen = streams_of(observation)
        out = np.zeros((len(next(iter(seen.values()))), *self.model.chunk_shape), np.float32)
        if len(self.rows):
            self.session.observe({name: x[self.rows] for name, x in seen.items()}, self.executed)
            decided = decide_ahead(self.session, self.running, self.decide, self.foresee)
            self.executed, *self.running = [*self.running, decided]
            out[self.rows] = self.executed
        return out

    def _keep(self, observation: Observation) -> None:
        active, episode = observation.get("active"), observation.get("episode")
        if episode is not None and self.session.step < 0:
            self.session.noise = streams([(self.seed, number) for number in episode.tolist()], len(episode))
        if active is None or active[self.rows].all():
            return
        kept = np.flatnonzero(active[self.rows])
        keep_rows(self.session, kept)
        self.rows, self.running = self.rows[kept], [chunk[kept] for chunk in self.running]
        self.executed = None if self.executed is None else self.executed[kept]
