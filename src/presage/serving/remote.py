"""Any openpi server as a policy: pi0, another presage, or whatever speaks its websocket protocol.

    policy = RemotePolicy("ws://127.0.0.1:8000", chunk=4, action_dim=4)
    results = rollout(policy, world, tasks, seeds, max_steps)     # in the simulator, or in the dream

The protocol has one observation in a request, so every row of the batch has a connection of its own; requests of all
rows are sent before the first answer is awaited. It has no sequence number either: an answer that comes after its
timeout would be taken for the next observation's, so a connection that timed out is closed and never read again.
"""

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from presage.errors import UserError
from presage.serving.wire import pack, unpack
from presage.worlds.protocol import Observation, streams_of


class RemotePolicy:
    """A `Policy` that asks a server.

    Args:
        url: ws://host:port or wss://host:port.
        chunk: actions that are executed. Longer answers are cut to it, since the world is looked at again then.
        action_dim: width of an action; answers of another one are refused.
        names: presage's name of an observation -> the server's, such as {"image.front": "observation/image"}. Only
            these are sent, and the instruction as `prompt`. None: everything, under presage's names.
        key: sent as `Authorization: Api-Key KEY`.
        robots: names of the robot that is to be moved. A server that says it serves another one is refused. None: any.
        timeout: seconds to wait for an answer. After it the connection is replaced and the observation sent once more.
    """

    def __init__(
        self,
        url: str,
        chunk: int,
        action_dim: int,
        names: Mapping[str, str] | None = None,
        key: str | None = None,
        timeout: float = 30.0,
        robots: Collection[str] | None = None,
    ) -> None:
        self.robots = robots
        self.url, self.shape, self.names, self.timeout = url, (chunk, action_dim), names, timeout
        self.headers = {"Authorization": f"Api-Key {key}"} if key else None
        self.instructions: list[str] = []
        self.connections: dict[int, ClientConnection] = {}
        """Row -> its connection; opened when the row first acts."""

    def reset(self, instructions: list[str]) -> None:
        """New connections, which to a server with a memory are new episodes."""
        self.close()
        self.instructions = list(instructions)

    def act(self, observation: Observation) -> np.ndarray:
        """The servers' chunks (N, chunk, A); rows that `observation["active"]` (N,) excludes are not asked.

        Raises:
            UserError: no connection, an error or no answer from the server, or actions that do not fit.
        """
        streams = streams_of(observation)
        count = len(next(iter(streams.values())))
        rows = np.flatnonzero(observation.get("active", np.ones(count, bool))).tolist()
        requests = {row: self._request(streams, row) for row in rows}
        chunks = np.zeros((count, *self.shape), np.float32)
        try:
            for row in rows:
                self._send(row, requests[row])
            for row in rows:
                chunks[row] = self._actions(self._receive(row, requests[row]))
        except (ConnectionClosed, OSError) as error:
            self.close()
            raise UserError(f"{self.url}: the connection ended before the answer ({error})") from None
        except BaseException:
            self.close()  # other rows' answers are still under way: nobody may take them for later ones
            raise
        return chunks

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()
        self.connections = {}

    def _request(self, streams: Mapping[str, np.ndarray], row: int) -> bytes:
        names = {name: name for name in streams} if self.names is None else self.names
        missing = [name for name in names if name not in streams]
        if missing:
            raise UserError(f"there is no observation {missing[0]!r} to send; choose from {', '.join(streams)}")
        return pack({**{names[name]: streams[name][row] for name in names}, "prompt": self.instructions[row]})

    def _send(self, row: int, request: bytes) -> None:
        if row not in self.connections:
            self.connections[row] = self._connect()
        self.connections[row].send(request)

    def _receive(self, row: int, request: bytes) -> Any:
        """The answer to a row's request; after a timeout to the same request on a new connection."""
        for last in (False, True):
            try:
                answer = self.connections[row].recv(self.timeout)
            except TimeoutError:
                self.connections.pop(row).close()
                if last:
                    raise UserError(f"{self.url}: no answer in {self.timeout:g} s, twice") from None
                self._send(row, request)
            else:
                break
        if isinstance(answer, str):  # openpi: text is an error, usually a traceback, whose last line says what happened
            lines = [line.strip() for line in answer.splitlines() if line.strip()] or ["an error without a text"]
            raise UserError(f"{self.url}: {lines[-1] if lines[0].startswith('Traceback') else lines[0]}")
        return unpack(answer)

    def _connect(self) -> ClientConnection:
        try:
            # Entered, because a bare call is deprecated since websockets 17.1; `close` is what leaving would do.
            connection = connect(self.url, compression=None, max_size=None, additional_headers=self.headers).__enter__()
        except InvalidStatus as error:
            body = (error.response.body or b"").decode(errors="replace").strip()
            raise UserError(f"{self.url}: refused with HTTP {error.response.status_code} {body}") from None
        except (OSError, WebSocketException, ValueError) as error:
            raise UserError(f"{self.url}: no policy server answers ({error}); start one with presage serve") from None
        try:
            metadata = connection.recv(self.timeout)
        except (TimeoutError, ConnectionClosed) as error:
            connection.close()
            raise UserError(f"{self.url}: connected, but no metadata came ({error}): is it an openpi server?") from None
        told: Any = None
        with contextlib.suppress(UserError):
            told = unpack(metadata) if isinstance(metadata, bytes) else None
        robot = told.get("robot") if isinstance(told, dict) else None
        known = robot is None or self.robots is None or (isinstance(robot, str) and robot in self.robots)
        if isinstance(told, dict) and known:
            return connection
        connection.close()
        if robot is None:
            raise UserError(f"{self.url}: its first message is not openpi's metadata: is it an openpi server?")
        raise UserError(
            f"{self.url}: serves robot {robot!r}, not {' or '.join(self.robots or ())}; choose another server"
        )

    def _actions(self, answer: Any) -> np.ndarray:
        """(chunk, A) float32."""
        chunk, action_dim = self.shape
        actions = answer.get("actions") if isinstance(answer, dict) else None
        if not isinstance(actions, np.ndarray) or actions.dtype.kind not in "fiu":
            raise UserError(f"{self.url}: the answer has no array 'actions'")
        if actions.ndim != 2 or len(actions) < chunk or actions.shape[1] != action_dim:
            expected = f"({chunk} or more, {action_dim})"
            raise UserError(f"{self.url}: 'actions' has shape {actions.shape}, the robot takes {expected}")
        if not np.isfinite(actions[:chunk]).all():
            raise UserError(f"{self.url}: 'actions' holds numbers that are not finite")
        return actions[:chunk].astype(np.float32)
