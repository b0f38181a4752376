"""A policy as a service, over openpi's websocket protocol.

A connection is an episode: its policy remembers what it has seen. The server sends its metadata first; then every
request, an observation, is answered by an action chunk. Errors are a text frame; where a request was computed or its
order is lost, the connection is closed, as in openpi. `GET /healthz` and `GET /metrics` are plain HTTP on the same
port.

    server = PolicyServer(lambda: make_policy("joint", model), model, {"server": "mine"})
    asyncio.run(server.run("127.0.0.1", 8000, ready=print))
"""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as Handshake
from websockets.http11 import Response

from presage.errors import UserError
from presage.networks.robot import Facts
from presage.policy.embodied import Embodiment
from presage.serving.batcher import Batcher, DeadlineError, Job, StoppedError
from presage.serving.metrics import CONTENT_TYPE, Metrics
from presage.serving.request import Request, Terms, asks_for_reset, read_request
from presage.serving.wire import pack, unpack
from presage.worlds.protocol import Observation, Policy

log = logging.getLogger("presage.serve")


class OrderError(UserError):
    """A request that did not wait for the answer to the one before."""


class RefusedError(UserError):
    """A message that does not fit; nothing was computed of it."""

    def __init__(self, text: str, reset: bool) -> None:
        super().__init__(text)
        self.reset = reset
        """Whether it was to begin an episode all the same."""


class PolicyServer:
    """Serves policies of one model.

    Args:
        make: a policy of batch one, for a new connection.
        facts: of the model; they say what an observation must hold.
        metadata: the first message to every client, besides what `facts` say.
        key: what clients must send as `Authorization: Api-Key KEY`; None lets everybody in.
        deadline: seconds after its arrival until which a request may start.
        sessions: connections at a time; more are turned away.
        body: the robot whose observations and commands are spoken; None: those of the model itself.
        terms: what an observation must hold; by default what `body` or `facts` say.
    """

    def __init__(
        self,
        make: Callable[[], Policy],
        facts: Facts,
        metadata: Mapping[str, Any],
        key: str | None = None,
        deadline: float = 2.0,
        sessions: int = 64,
        body: Embodiment | None = None,
        terms: Terms | None = None,
    ) -> None:
        self.make, self.key, self.sessions, self.body = make, key, sessions, body
        self.terms = terms or (Terms.of_model(facts) if body is None else Terms.of_robot(body))
        self.metadata = {**describe(facts, body), **metadata}
        self.metrics = Metrics()
        self.batcher = Batcher(deadline, self.metrics)
        self.draining = asyncio.Event()
        """Set it to finish what runs, refuse what is new, and return from `run`."""
        self.worker: asyncio.Task[None] | None = None
        self._told = False

    async def run(self, host: str, port: int, ready: Callable[[int], None]) -> None:
        """Serve until `draining` is set. `ready` is told the port, which is chosen for `port` 0.

        Raises:
            UserError: the address cannot be used, or inference has stopped.
        """
        quiet = logging.getLogger("presage.serve.websockets")
        quiet.setLevel(logging.CRITICAL)  # what strangers send is counted, not printed with a traceback each
        try:
            server = await serve(
                self._connection,
                host,
                port,
                process_request=self._handshake,
                origins=[None],  # browsers name an origin: no web page gets to talk to a robot's server on this machine
                compression=None,
                max_size=self.terms.message_limit,
                max_queue=2,
                logger=quiet,
            )
        except OSError as error:
            raise UserError(
                f"cannot serve on {host}:{port}: {error.strerror}; choose another --host or --port"
            ) from None
        self.worker = asyncio.create_task(self.batcher.run())
        draining = asyncio.create_task(self.draining.wait())
        ready(server.sockets[0].getsockname()[1])
        await asyncio.wait({draining, self.worker}, return_when=asyncio.FIRST_COMPLETED)
        self.draining.set()
        server.close(close_connections=False)
        await server.wait_closed()
        if self.worker.done():
            why = "cancelled" if self.worker.cancelled() else self.worker.exception()
            raise UserError(f"inference has stopped ({why}): the server ends, start it anew")
        self.worker.cancel()

    # -- plain HTTP, and who may come in
    # --------------------------------------------------------------------------------

    def _handshake(self, connection: ServerConnection, request: Handshake) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/healthz":
            if self.worker is not None and self.worker.done():
                return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "inference has stopped\n")
            return connection.respond(HTTPStatus.OK, "OK\n")
        if self.key is not None and not _authorised(request, self.key):
            self.metrics.errors["refused"] += 1
            return connection.respond(HTTPStatus.UNAUTHORIZED, "send the header Authorization: Api-Key KEY\n")
        if path == "/metrics":
            response = connection.respond(HTTPStatus.OK, self.metrics.text())
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = CONTENT_TYPE
            return response
        if self.draining.is_set() or self.metrics.sessions >= self.sessions:
            self.metrics.errors["refused"] += 1
            return connection.respond(
                HTTPStatus.SERVICE_UNAVAILABLE, f"{self.sessions} sessions are open: come later\n"
            )
        return None

    # -- a connection
    # ---------------------------------------------------------------------------------------------------

    async def _connection(self, connection: ServerConnection) -> None:
        self.metrics.sessions += 1
        try:
            await connection.send(pack(self.metadata))
            await self._converse(connection)
        except ConnectionClosed:
            pass  # nobody is left to talk to
        except UserError as error:
            kinds = {OrderError: "order", StoppedError: "stopped"}
            await self._fail(connection, kinds.get(type(error), "message"), str(error))
        except Exception as error:
            log.exception("a request failed")
            await self._fail(
                connection, "internal", f"internal error: {type(error).__name__}; the server's log says more"
            )
        finally:
            self.metrics.sessions -= 1

    async def _fail(self, connection: ServerConnection, kind: str, text: str) -> None:
        try:
            await self._refuse(connection, kind, text)
            await connection.close(1011, kind)
        except ConnectionClosed:
            pass

    async def _refuse(self, connection: ServerConnection, kind: str, text: str) -> None:
        self.metrics.errors[kind] += 1
        await connection.send(text)

    async def _converse(self, connection: ServerConnection) -> None:
        """Request, answer, request, answer; until the client leaves or the server drains.

        What is refused before anything is computed leaves the episode as it was; a beginning that was asked for stays
        due.
        """
        policy, prompt, begin, total = self.make(), None, True, None
        draining = asyncio.create_task(self.draining.wait())
        receiving = asyncio.create_task(connection.recv())
        try:
            while True:
                await asyncio.wait({receiving, draining}, return_when=asyncio.FIRST_COMPLETED)
                if not receiving.done():  # else it was asked before the server began to stop
                    await connection.close(1001, "the server is stopping")
                    return
                message, arrived = receiving.result(), time.perf_counter()
                receiving = asyncio.create_task(connection.recv())
                try:
                    # In a thread of its own: large pictures take a while to scale.
                    request, seen = await asyncio.to_thread(self._understand, message)
                    begin = begin or request.reset or request.prompt != prompt
                    job = Job(policy, seen, request.prompt if begin else None, arrived)
                    chunk, seconds = await self._answer(job, receiving)
                except RefusedError as error:
                    begin = begin or error.reset
                    await self._refuse(connection, "message", str(error))
                    continue
                except DeadlineError as error:
                    await self._refuse(connection, "deadline", str(error))
                    continue
                prompt, begin = request.prompt, False
                if self.body is not None:
                    chunk = self.body.command(chunk[None], request.observation)[0]
                timing = {"infer_ms": 1000 * seconds} | ({} if total is None else {"prev_total_ms": 1000 * total})
                sequence = {} if request.sequence is None else {"sequence": request.sequence}
                await connection.send(pack({"actions": chunk, "server_timing": timing, **sequence}))
                total = time.perf_counter() - arrived
                self.metrics.seconds.observe(total)
        finally:
            draining.cancel()
            receiving.cancel()

    def _understand(self, message: bytes | str) -> tuple[Request, Observation]:
        """A request, and what the model sees of it.

        Raises:
            RefusedError: it does not fit.
        """
        given: Any = None
        try:
            if isinstance(message, str):
                raise UserError("a text frame: send observations as binary msgpack")
            given = unpack(message)
            request = read_request(given, self.terms)
            if self.body is None:
                return request, request.observation
            seen = self.body.see(request.observation)
            self._say_what_is_cut_off(request.observation)
            return request, seen
        except UserError as error:
            raise RefusedError(str(error), asks_for_reset(given)) from None

    def _say_what_is_cut_off(self, seen: Observation) -> None:
        """Once: whether pictures come with black bars that training did not see."""
        assert self.body is not None
        padded = [] if self._told else self.body.padded(seen)
        if padded:
            self._told = True
            log.warning("pictures of %s come with black bars, which are cut off: training saw none", ", ".join(padded))

    async def _answer(self, job: Job, receiving: "asyncio.Task[Any]") -> Any:
        """Chunk and seconds of a job, unless the client leaves first or sends something else."""
        self.batcher.submit(job)
        await asyncio.wait({job.answer, receiving}, return_when=asyncio.FIRST_COMPLETED)
        if not job.answer.done():
            job.answer.cancel()
            receiving.result()  # raises what ended the connection
            raise OrderError("a request came before the answer to the one before it: wait, or connect anew")
        return job.answer.result()


def describe(facts: Facts, body: Embodiment | None = None) -> dict[str, Any]:
    """What a client has to know of a model, or of a robot of it: the server's first message."""
    model = {
        "cameras": list(facts.cameras),
        "image_size": facts.size,
        "chunk": facts.chunk_shape[0],
        "action_dim": facts.chunk_shape[1],
        "state_dim": facts.state_dim,
        "fps": facts.fps,
    }
    if body is None:
        return model
    return model | {
        "robot": body.name,
        "cameras": body.cameras,
        "action_dim": len(body.robot.action_names),
        "action_names": body.robot.action_names,
        "state_dim": len(body.robot.state_names),
        "state_names": body.robot.state_names,
        "picture_sizes": body.robot.recorded,
    }


def _authorised(request: Handshake, key: str) -> bool:
    sent = request.headers.get_all("Authorization")
    wanted = f"Api-Key {key}".encode()
    return len(sent) == 1 and hmac.compare_digest(sent[0].encode("utf-8", "surrogateescape"), wanted)
