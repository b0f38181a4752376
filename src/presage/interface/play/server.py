"""`presage play` as a server: who resumes which dream, and when one is forgotten."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from presage.errors import UserError
from presage.interface.doorway import Doorway, read_files
from presage.interface.play.dream import Dream
from presage.interface.play.message import MAX_BYTES
from presage.interface.play.player import Player
from presage.interface.play.studio import Stage

log = logging.getLogger("presage.play")

KEEP_SECONDS = 600.0
"""How long a dream waits for its browser to come back."""


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
        studio: Stage,
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
        self.served = 0

    async def run(self, host: str, port: int, ready: Callable[[int], None]) -> None:
        """Serve until `draining` is set. `ready` is told the port, which is chosen for `port` 0.

        Raises:
            UserError: the address cannot be used, or the first frame cannot be shown.
        """
        doorway = Doorway(read_files("presage.interface.play"), "/play", "presage play", host, self.token)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "dream") as dreaming, ThreadPoolExecutor(1, "files") as filing:
            self._compute: Any = lambda function: loop.run_in_executor(dreaming, function)
            self._files_thread: Any = lambda function: loop.run_in_executor(filing, function)
            await self._compute(self._warm_up)
            server = await doorway.open(self._connection, port, MAX_BYTES)
            ready(server.sockets[0].getsockname()[1])
            await self.draining.wait()
            server.close()
            await server.wait_closed()
            for player in self.players.values():
                await player.close()

    def _warm_up(self) -> None:
        """A step of nobody's dream: what is missing is said now, and the first player waits for nothing."""
        dream = Dream(self.studio, 0, self.seed)
        dream.begin()
        dream.step(np.zeros(self.studio.model.chunk_shape[1], np.float32))

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
