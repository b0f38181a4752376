"""Requests are answered together, and nobody waits for an inference that has ended."""

import asyncio
import time

import numpy as np
import pytest

from presage.serving.batcher import Batcher, Job, StoppedError
from presage.serving.metrics import Metrics


class Raising:
    """A policy that fails so."""

    def __init__(self, error: BaseException | None = None, answer: object = None) -> None:
        self.error, self.answer = error, answer

    def reset(self, instructions: list[str]) -> None:
        pass

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        if self.error is not None:
            raise self.error
        return self.answer  # type: ignore[return-value]


def job(policy: Raising) -> Job:
    return Job(policy, {"state": np.zeros((1, 4))}, "reach", time.perf_counter())


@pytest.mark.parametrize("error", [SystemExit("gone"), KeyboardInterrupt(), RuntimeError("CUDA error: unspecified")])
def test_all_who_wait_are_told_when_inference_ends_and_later_ones_are_refused(error: BaseException) -> None:
    async def scenario() -> None:
        batcher = Batcher(60, Metrics())
        jobs = [job(Raising(error)), job(Raising(error))]
        batcher.submit(jobs[0])
        worker = asyncio.create_task(batcher.run())
        await asyncio.sleep(0)  # it takes the first job; the second one gathers behind it
        batcher.submit(jobs[1])
        with pytest.raises(RuntimeError, match=type(error).__name__):
            await worker
        for each in jobs:
            with pytest.raises(StoppedError, match="the server ends"):
                await each.answer
        with pytest.raises(StoppedError, match="the server ends"):
            batcher.submit(jobs[0])

    asyncio.run(scenario())


def test_nobody_waits_for_an_inference_that_was_cancelled() -> None:
    async def scenario() -> None:
        batcher = Batcher(60, Metrics())
        worker = asyncio.create_task(batcher.run())
        await asyncio.sleep(0)
        worker.cancel()
        waits = job(Raising(answer=np.ones((1, 2, 3))))
        batcher.submit(waits)
        with pytest.raises(asyncio.CancelledError):
            await worker
        with pytest.raises(StoppedError, match="the server ends"):
            await waits.answer

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "broken",
    [Raising(StopIteration()), Raising(MemoryError()), Raising(answer=None), Raising(answer=np.array([["a"]]))],
)
def test_what_one_request_ends_in_is_not_the_end_of_inference(broken: Raising) -> None:
    async def scenario() -> None:
        batcher = Batcher(60, Metrics())
        worker = asyncio.create_task(batcher.run())
        failing, good = job(broken), job(Raising(answer=np.ones((1, 2, 3))))
        batcher.submit(failing)
        with pytest.raises((RuntimeError, MemoryError, TypeError)):
            await failing.answer
        batcher.submit(good)
        assert (await good.answer)[0].shape == (2, 3)
        worker.cancel()

    asyncio.run(scenario())
