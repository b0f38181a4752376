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

from presage.policy.executors import CONTEXT, Acting, OpenLoop
from presage.policy.grounded import Decision
from presage.policy.sampled import sampled
from presage.timeline.levels import GIVEN, Schedule, down, flat
from presage.timeline.session import Session

Foresight = Callable[[Session, np.ndarray], object]
"""Steps a session into what a running chunk (B, chunk, A) leads to."""


def forward(steps: int, stop: float = 0.0) -> Foresight:
    """A step of the model under the running chunk, denoised down to level `stop` and remembered as that noisy."""
    schedule = Schedule(down(steps, stop), flat(GIVEN, steps))

    def foresee(session: Session, running: np.ndarray) -> None:
        acting = next(s for s in session.backbone.streams if s.acts)
        given = {acting.name: session.model.encode_action(running)}
        session.append(session.imagine(schedule, given).values, imagined=True, level=stop)

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


class Asynchronous(OpenLoop):
    """A `Policy` that looks after every chunk, and whose chunks begin `latency` rows after what they were decided on;
    with 0 it is `GroundedPolicy`. The first `latency` chunks of an episode are zeros: no motion where actions are
    relative, and one to the place 0 where they are places, as in Push-T (the middle).

    Args:
        foresee: what the running chunks lead to; None: naive, as if the frame were not old.
        context, quality, seed: as of `OpenLoop`.
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
        super().__init__(model, self._plan, 1, context, quality, seed)
        self.decide, self.latency, self.foresee = decide, latency, foresee

    def _plan(self, session: Session) -> np.ndarray:
        return decide_ahead(session, self.ahead, self.decide, self.foresee)[None]

    def reset(self, instructions: list[str]) -> None:
        super().reset(instructions)
        # What is executed while it thinks for the first time.
        self.ahead = [np.zeros((len(instructions), *self.model.chunk_shape), np.float32)] * self.latency
