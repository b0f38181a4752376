"""The doorway: static files, who may come in, and who resumes which dream.

A web page anywhere can make its visitor's browser talk to this machine. So a request has to be addressed to this server
by a name that is its own (another name that resolves here is DNS rebinding), and must not come from a page of another
origin.
"""

import asyncio
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from presage.errors import UserError
from presage.interface.play.dream import Dream
from presage.interface.play.message import MAX_BYTES
from presage.interface.play.player import Player
from presage.interface.play.studio import Studio
from presage.serving.host import is_loopback

log = logging.getLogger("presage.play")

KEEP_SECONDS = 600.0
"""How long a dream waits for its browser to come back."""
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?")


class PlayServer:
    """Serves the page and its players.

    Args:
        name: of the model, for the page.
        out: folder of recordings.
        token: what a browser must know; None lets everybody on this machine in.
        keep: seconds that a dream without a browser is kept.
    """

    def __init__(
        self,
        studio: Studio,
        name: str,
        out: Path,
        token: str | None = None,
        seed: int = 0,
        keep: float = KEEP_SECONDS,
    ) -> None:
        self.studio, self.name, self.out, self.token, self.seed, self.keep = studio, name, out, token, seed, keep
        self.players: dict[str, Player] = {}
        self.draining = asyncio.Event()
        """Set it to send everybody away and return from `run`."""
        self.host = "127.0.0.1"
        self.served = 0
        self._files = read_files()

    async def run(self, host: str, port: int, ready: Callable[[int], None]) -> None:
        """Serve until `draining` is set. `ready` is told the port, which is chosen for `port` 0.

        Raises:
            UserError: the address cannot be used, or the first episode cannot be drawn.
        """
        self.host = host
        quiet = logging.getLogger("presage.play.websockets")
        quiet.setLevel(logging.CRITICAL)  # what strangers send is refused, not printed with a traceback each
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "dream") as dreaming, ThreadPoolExecutor(1, "files") as filing:
            self._compute: Any = lambda function: loop.run_in_executor(dreaming, function)
            self._files_thread: Any = lambda function: loop.run_in_executor(filing, function)
            await self._compute(self._warm_up)
            try:
                server = await serve(
                    self._connection,
                    host,
                    port,
                    process_request=self._handshake,
                    compression=None,
                    max_size=MAX_BYTES,
                    max_queue=16,
                    logger=quiet,
                )
            except OSError as error:
                raise UserError(
                    f"cannot serve on {host}:{port}: {error.strerror}; choose another --host or --port"
                ) from None
            ready(server.sockets[0].getsockname()[1])
            await self.draining.wait()
            server.close()
            await server.wait_closed()
            for player in self.players.values():
                await player.close()

    def _warm_up(self) -> None:
        """A step of nobody's dream: what is missing is said now, and the first player waits for nothing."""
        dream = Dream(self.studio, 0, self.seed)
        dream.reset(self.studio.task, self.seed)
        dream.step(np.zeros(self.studio.model.chunk_shape[1], np.float32))

    # -- plain HTTP, and who may come in
    # ----------------------------------------------------------------------------------

    def _handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        address = urlsplit(request.path)
        refused = self._refused(request)
        if refused is not None:
            return connection.respond(HTTPStatus.FORBIDDEN, f"{refused}\n")
        if address.path == "/healthz":
            return connection.respond(HTTPStatus.OK, "OK\n")
        if address.path in self._files:
            return _file(*self._files[address.path], request.headers["Host"])
        if address.path not in ("/play", "/ready"):
            return connection.respond(HTTPStatus.NOT_FOUND, "there is no such page\n")
        given = parse_qs(address.query).get("token", [""])[0]
        if self.token is not None and not hmac.compare_digest(given.encode(), self.token.encode()):
            text = "this page needs its token: open the whole address that presage play printed\n"
            return connection.respond(HTTPStatus.UNAUTHORIZED, text)
        return connection.respond(HTTPStatus.OK, "OK\n") if address.path == "/ready" else None

    def _refused(self, request: Request) -> str | None:
        """Why a request may not come in, whatever it asks for."""
        hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None:
            return "the request does not say which host it is for"
        # The port is not compared: a tunnel may end at another one. A name on its own says who is meant.
        if is_loopback(self.host) and not is_loopback(found[1].strip("[]").lower()):
            return f"this server is not {hosts[0]}: open it as localhost"
        if self.token is None and not is_loopback(self.host):
            return "a server that others reach needs a token"
        if origins and (len(origins) > 1 or urlsplit(origins[0]).netloc.lower() != hosts[0].lower()):
            return "a page of another origin may not talk to this server"
        return None

    # -- players
    # ----------------------------------------------------------------------------------------------------------

    async def _connection(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        asked = parse_qs(urlsplit(connection.request.path).query).get("session", [""])[0]
        player = await self._enter(asked)
        if player is None:
            full = f"{self.studio.players} people are playing already: come back when one has left"
            await connection.close(4029, full)
            return
        before, player.connection = player.connection, connection
        if before is not None:
            await before.close(4001, "this dream was opened in another tab")
        try:
            await player.attend(connection)
        except ConnectionClosed:
            pass  # nobody is left to talk to
        except UserError as error:
            await connection.close(1011, str(error)[:100])
        except Exception:
            log.exception("a player's request failed")
            await connection.close(1011, "internal error; the server's log says more")

    async def _enter(self, key: str) -> Player | None:
        """The player that has this key, else a new one; None where there is no room."""
        await self._forget()
        if key in self.players:
            return self.players[key]
        if len(self.players) >= self.studio.players:
            away = [player for player in self.players.values() if player.connection is None]
            if not away:
                return None
            await self._send_home(min(away, key=lambda player: player.left))
        taken = {player.dream.slot for player in self.players.values()}
        slot = next(slot for slot in range(self.studio.players) if slot not in taken)
        key = secrets.token_urlsafe(16)
        dream = Dream(self.studio, slot, self.seed)
        self.players[key] = Player(key, dream, self._compute, self._files_thread, self.out, self.name)
        self.served += 1
        return self.players[key]

    async def _forget(self) -> None:
        """Dreams whose browser has not come back for long."""
        now = time.monotonic()
        for player in list(self.players.values()):
            if player.connection is None and now - player.left > self.keep:
                await self._send_home(player)

    async def _send_home(self, player: Player) -> None:
        self.players.pop(player.key, None)
        await player.close()


def read_files() -> dict[str, tuple[bytes, str]]:
    """path -> (contents, type) of the page's files."""
    found = {}
    for file in files("presage.interface.play").joinpath("page").iterdir():
        kind = TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            found["/" if file.name == "index.html" else f"/{file.name}"] = (file.read_bytes(), kind)
    return found


def _file(body: bytes, kind: str, host: str) -> Response:
    """A file, with headers that keep the page to itself: nothing from elsewhere, no frame around it, nothing stored."""
    headers = Headers()
    policy = f"default-src 'self'; connect-src 'self' ws://{host} wss://{host}; frame-ancestors 'none'; base-uri 'none'"
    for name, value in (
        ("Content-Type", f"{kind}; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Content-Security-Policy", policy),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ):
        headers[name] = value
    return Response(HTTPStatus.OK, "OK", headers, body)
