"""Somebody else's model behind a websocket, in messages of msgpack and numpy arrays (`serving.wire`).

    {"frames": {camera: (P, S, S, 3) uint8}, "instruction": text}   ->  {}
    {"actions": (chunk, A) float32}                                 ->  {"frames": {camera: (S, S, 3) uint8}}

A connection is one dream at a time. An answer of text is an error. `serve_dreams` is the server's side, for models in
Python; any language that speaks msgpack will do.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve

from presage.errors import UserError
from presage.serving.host import is_loopback
from presage.serving.wire import pack, unpack
from presage.simulator.gate.others import Dreamer, Frames

MAX_BYTES = 2**28
"""Of a message to `serve_dreams`: five pictures of 4096 pixels a side, or eighty of 1024"""


class RemoteDreamer:
    """A `Dreamer` that asks a server at ws://host:port.

    Raises:
        UserError: nobody answers, or not in this form.
    """

    def __init__(self, url: str, timeout: float = 120.0) -> None:
        self.url, self.timeout = url, timeout
        self.connection: ClientConnection | None = None

    def start(self, frames: Frames, instruction: str) -> None:
        self._ask({"frames": {name: np.ascontiguousarray(x) for name, x in frames.items()}, "instruction": instruction})

    def step(self, actions: np.ndarray) -> Frames:
        frames = self._ask({"actions": np.ascontiguousarray(actions)}).get("frames")
        if not isinstance(frames, dict):
            raise UserError(f"{self.url}: the answer to actions has no 'frames'")
        return frames

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            if self.connection is None:
                self.connection = connect(self.url, compression=None, max_size=None).__enter__()
            self.connection.send(pack(message))
            answer = self.connection.recv(self.timeout)
        except (OSError, WebSocketException, ValueError) as error:
            raise UserError(f"{self.url}: no model answers ({error or type(error).__name__})") from None
        if isinstance(answer, str):
            raise UserError(f"{self.url}: {answer.strip().splitlines()[-1] if answer.strip() else 'an empty error'}")
        told = unpack(answer)
        if not isinstance(told, dict):
            raise UserError(f"{self.url}: the answer is no map of frames")
        return told


def serve_dreams(make: Callable[[], Dreamer], host: str = "127.0.0.1", port: int = 8010) -> Server:
    """A server of models, one of `make()` a connection: `with serve_dreams(Mine) as server: server.serve_forever()`.

    Raises:
        UserError: other machines reach `host`; there is no key that would tell them apart.
    """
    if not is_loopback(host):
        raise UserError(f"serve_dreams: host {host!r} lets other machines in: give 127.0.0.1, and reach it by a tunnel")

    def answer(connection: ServerConnection) -> None:
        model = make()
        for data in connection:
            try:
                if isinstance(data, str):
                    raise ValueError("send bytes: msgpack with numpy arrays")
                message = unpack(data)
                if "actions" in message:
                    connection.send(pack({"frames": dict(model.step(message["actions"]))}))
                else:
                    model.start(message["frames"], message["instruction"])
                    connection.send(pack({}))
            except Exception as error:  # whatever it is, the other side is told
                connection.send(f"{type(error).__name__}: {error}")

    # Browsers name an origin: no web page gets to talk to a model on this machine.
    return serve(answer, host, port, origins=[None], compression=None, max_size=MAX_BYTES)
