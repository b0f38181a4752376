"""Inference off the event loop: one worker thread; what waits when it becomes free goes through the model together.

Nobody waits for a batch to fill: while one is computed, the next one gathers.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from presage.errors import UserError
from presage.policy.together import act_together
from presage.serving.metrics import Metrics
from presage.worlds.protocol import Observation, Policy

STOPPED = "inference has stopped: the server ends"


class DeadlineError(UserError):
    """A request waited so long that its observation is old."""


class StoppedError(UserError):
    """Nothing is computed any more."""


def _future() -> "asyncio.Future[tuple[np.ndarray, float]]":
    return asyncio.get_running_loop().create_future()


@dataclass(frozen=True, eq=False)
class Job:
    """One observation for one policy of batch one."""

    policy: Policy
    observation: Observation
    instruction: str | None
    """Starts a new episode first; None continues."""
    arrived: float
    """`time.perf_counter()` when the request came."""
    answer: "asyncio.Future[tuple[np.ndarray, float]]" = field(default_factory=_future)
    """Chunk (chunk, A) and the seconds its batch took. Cancelled: nobody waits for it any more."""


class Batcher:
    """Answers jobs; `run` has to be a task of the loop.

    Args:
        deadline: seconds after its arrival until which a job may start.
    """

    def __init__(self, deadline: float, metrics: Metrics) -> None:
        self.deadline, self.metrics = deadline, metrics
        self.waiting: asyncio.Queue[Job] = asyncio.Queue()
        self.stopped = False

    def submit(self, job: Job) -> None:
        """Let a job wait for its turn.

        Raises:
            StoppedError: it would wait for ever.
        """
        if self.stopped:
            raise StoppedError(STOPPED)
        self.waiting.put_nowait(job)

    async def run(self) -> None:
        """Answer jobs until cancelled. That inference has ended is told to all who wait; why, if by a fault, is
        raised."""
        loop = asyncio.get_running_loop()
        jobs: list[Job] = []
        try:
            with ThreadPoolExecutor(1, "inference") as worker:
                while True:
                    jobs = [await self.waiting.get()]
                    while not self.waiting.empty():
                        jobs.append(self.waiting.get_nowait())
                    batch = self._in_time([job for job in jobs if not job.answer.done()])
                    if batch:
                        start = time.perf_counter()
                        answers = await loop.run_in_executor(worker, compute, batch)
                        self._deliver(batch, answers, time.perf_counter() - start)
        except BaseException as error:
            self._stop(jobs)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    def _stop(self, jobs: list[Job]) -> None:
        """Tell all who wait, those of `jobs` too, that nothing is computed any more."""
        self.stopped = True
        while not self.waiting.empty():
            jobs.append(self.waiting.get_nowait())
        for job in jobs:
            if not job.answer.done():
                job.answer.set_exception(StoppedError(STOPPED))

    def _in_time(self, jobs: list[Job]) -> list[Job]:
        """Jobs that are still worth computing; the others are told."""
        batch, now = [], time.perf_counter()
        for job in jobs:
            if now - job.arrived > self.deadline:
                late = f"the request waited {now - job.arrived:.2f} s, longer than the deadline of {self.deadline:g} s"
                job.answer.set_exception(DeadlineError(f"{late}: it was not computed"))
            else:
                batch.append(job)
        return batch

    def _deliver(self, batch: list[Job], answers: "list[np.ndarray | Exception]", seconds: float) -> None:
        self.metrics.batches.observe(len(batch))
        for job, answer in zip(batch, answers, strict=True):
            if job.answer.done():
                continue
            if isinstance(answer, Exception):
                job.answer.set_exception(answer)
            else:
                job.answer.set_result((answer, seconds))


def compute(batch: list[Job]) -> "list[np.ndarray | Exception]":
    """A chunk (chunk, A), or what went wrong, for every job. An error in one's own reset is nobody else's."""
    answers: list[np.ndarray | Exception] = []
    for job in batch:
        try:
            if job.instruction is not None:
                job.policy.reset([job.instruction])
            answers.append(np.empty(0))
        except Exception as error:
            answers.append(_survived(error))
    rows = [i for i, answer in enumerate(answers) if not isinstance(answer, Exception)]
    try:
        chunks = act_together([batch[i].policy for i in rows], [batch[i].observation for i in rows])
        for i, chunk in zip(rows, chunks, strict=True):
            finite = np.isfinite(chunk).all()
            answers[i] = chunk[0] if finite else ArithmeticError("the policy answered with numbers that are not finite")
    except Exception as error:  # a shared pass failed: all who were in it have lost their episode
        for i in rows:
            answers[i] = _survived(error)
    return answers


def _survived(error: Exception) -> Exception:
    """The error of one request; raised where no later request could be computed: CUDA refuses all work after a
    fault."""
    if "CUDA error" in str(error):
        raise error
    return RuntimeError(repr(error)) if isinstance(error, StopIteration) else error  # which no future can hold
