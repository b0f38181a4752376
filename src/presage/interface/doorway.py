"""The doorway of a page that this machine serves: its files, and who may come in.

A web page anywhere can make its visitor's browser talk to this machine. So a request has to be addressed to this server
by a name that is its own (another name that resolves here is DNS rebinding), and must not come from a page of another
origin. Other machines need a token, which the printed address has behind `#`, where browsers send it to nobody.
"""

import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from presage.errors import UserError
from presage.serving.host import KEY_VARIABLE, api_key, is_loopback

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
Files = dict[str, tuple[bytes, str]]
"""path -> (contents, type)"""
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?")


@dataclass(frozen=True)
class Doorway:
    """Answers what is asked before a socket is open.

    files: of the page. socket: path of the page's websocket. command: what printed the address, for people. host:
    address that is listened on. token: what a browser must know; None lets everybody on this machine in.
    """

    files: Files
    socket: str
    command: str
    host: str
    token: str | None = None

    async def open(self, attend: Callable[[ServerConnection], Awaitable[None]], port: int, most: int) -> Server:
        """Let browsers in; `attend` talks to each. most: bytes of a message.

        Raises:
            UserError: the address cannot be used.
        """
        quiet = logging.getLogger("presage.doorway.websockets")
        quiet.setLevel(logging.CRITICAL)  # what strangers send is refused, not printed with a traceback each
        options: dict[str, Any] = {"compression": None, "max_size": most, "max_queue": 16, "logger": quiet}
        try:
            return await serve(attend, self.host, port, process_request=self.answer, **options)
        except OSError as error:
            where = f"{self.host}:{port}"
            raise UserError(f"cannot serve on {where}: {error.strerror}; choose another --host or --port") from None

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The response to a request; None lets a websocket in."""
        address = urlsplit(request.path)
        refused = self._refused(request)
        if refused is not None:
            return connection.respond(HTTPStatus.FORBIDDEN, f"{refused}\n")
        if address.path == "/healthz":
            return connection.respond(HTTPStatus.OK, "OK\n")
        if address.path in self.files:
            return _file(*self.files[address.path], request.headers["Host"])
        if address.path not in (self.socket, "/ready"):
            return connection.respond(HTTPStatus.NOT_FOUND, "there is no such page\n")
        given = parse_qs(address.query).get("token", [""])[0]
        if self.token is not None and not hmac.compare_digest(given.encode(), self.token.encode()):
            text = f"this page needs its token: open the whole address that {self.command} printed\n"
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


def read_files(package: str) -> Files:
    """The files of the folder `page` of a package, and those that all pages share."""
    found = {}
    for file in chain(*(files(name).joinpath("page").iterdir() for name in ("presage.interface", package))):
        kind = TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            found["/" if file.name == "index.html" else f"/{file.name}"] = (file.read_bytes(), kind)
    return found


def token_for(host: str, file: Path | None) -> str | None:
    """The token in `file`, else in the environment.

    Raises:
        UserError: it cannot be read, or there is none though other machines reach `host`.
    """
    token = api_key(file, "--token-file")
    if token is None and not is_loopback(host):
        raise UserError(f"--host {host} lets other machines in: set {KEY_VARIABLE} or give --token-file")
    return token


def page_address(host: str, port: int, token: str | None) -> str:
    """What a person opens."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/{'' if token is None else f'#token={token}'}"


def _file(body: bytes, kind: str, host: str) -> Response:
    """A file, with headers that keep the page to itself: nothing from elsewhere, no frame around it, nothing stored."""
    headers = Headers()
    policy = (
        f"default-src 'self'; connect-src 'self' ws://{host} wss://{host}; media-src blob:; frame-ancestors 'none'; "
        "base-uri 'none'"
    )
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
