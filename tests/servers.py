"""A real policy server on a real socket, in a thread of the test."""

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
from presage.serving.wire import unpack


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
