"""A real policy server on a real socket, in a thread of the test, and what robots say to it."""

import asyncio
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue

import numpy as np
from websockets.sync.client import ClientConnection, connect

from presage.serving.server import PolicyServer
from presage.serving.wire import pack, unpack


@contextmanager
def serving(make_server: Callable[[], PolicyServer]) -> Iterator[tuple[PolicyServer, str]]:
    """(server, host:port) of a running server, which is drained at the end."""
    ready: Queue[tuple[PolicyServer, asyncio.AbstractEventLoop, int]] = Queue()

    async def main() -> None:
        server, loop = make_server(), asyncio.get_running_loop()
        await server.run("127.0.0.1", 0, lambda port: ready.put((server, loop, port)))

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    server, loop, port = ready.get(timeout=10)
    try:
        yield server, f"127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(server.draining.set)
        thread.join(60)
        assert not thread.is_alive()


def greeted(address: str, key: str | None = None) -> ClientConnection:
    """A connection whose metadata has been read, opened as openpi's client does."""
    headers = {"Authorization": f"Api-Key {key}"} if key else None
    connection = connect(f"ws://{address}", compression=None, max_size=None, additional_headers=headers).__enter__()
    assert isinstance(unpack(connection.recv(10)), dict)
    return connection


def ask(connection, message: object) -> dict:
    connection.send(pack(message))
    answer = connection.recv(60)
    assert isinstance(answer, bytes), answer
    return unpack(answer)


def ask_at_once(server, address, count: int, steps: int, request: Callable[..., dict]) -> dict[int, list[np.ndarray]]:
    """Chunks that `count` robots are answered who ask at the same time; robot i sends `request(seed, prompt)` of the
    seeds from 100 * i on. Some of them go through the model together."""
    answers: dict[int, list[np.ndarray]] = {}

    def act(i: int) -> None:
        with greeted(address) as connection:
            requests = [request(100 * i + t, f"task {i}") for t in range(steps)]
            answers[i] = [ask(connection, each)["actions"] for each in requests]

    threads = [threading.Thread(target=act, args=(i,)) for i in range(count)]
    before = server.metrics.batches.count
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.metrics.batches.count - before < count * steps  # some went together
    return answers


def told(connection, frame: bytes | str) -> str:
    """The error that a frame is answered with."""
    connection.send(frame)
    answer = connection.recv(60)
    assert isinstance(answer, str) and "\n" not in answer
    return answer


def get(address: str, path: str, headers: dict[str, str] | None = None) -> str:
    request = urllib.request.Request(f"http://{address}{path}", headers=headers or {})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode()


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class SlowPolicy:
    """Takes its time; answers with the number of observations of the episode."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps = seconds, 0
        self.acting = threading.Event()

    def reset(self, instructions: list[str]) -> None:
        self.steps = 0

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        self.acting.set()
        time.sleep(self.seconds)
        self.steps += 1
        return np.full((1, 4, 4), self.steps, np.float32)
