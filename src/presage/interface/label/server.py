"""The conversation with the browser of a person who labels: a clip out, an answer in.

The server says JSON `show` (what is asked, and how far one is) and then the clip, an mp4, as bytes; `error` in one
line. The browser says `{"type": "answer", "episode": 3, "success": true}` (or false, or null for skipped) and
`{"type": "back"}`. Clips are made in a thread of their own, the next one ahead.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.interface.doorway import Doorway, read_files
from presage.interface.label.answers import Answers
from presage.interface.label.film import film

log = logging.getLogger("presage.label")

MAX_BYTES = 2**10
"""Of one message from a browser."""
KEPT = 4
"""Clips in memory: this one, the next, and some to go back to."""


class LabelServer:
    """Serves the page to one person at a time; who opens it later goes on where it stands.

    Args:
        dataset: of which `answers` asks.
        token: what a browser must know; None lets everybody on this machine in.
    """

    def __init__(self, dataset: Dataset, answers: Answers, token: str | None = None) -> None:
        self.dataset, self.answers, self.token = dataset, answers, token
        self.draining = asyncio.Event()
        """Set it to send everybody away and return from `run`."""
        self._places = {episode.index: place for place, episode in enumerate(dataset.episodes)}
        self._clips: dict[int, asyncio.Future[bytes]] = {}
        self._present: ServerConnection | None = None

    async def run(self, host: str, port: int, ready: Callable[[int], None]) -> None:
        """Serve until `draining` is set. `ready` is told the port, which is chosen for `port` 0.

        Raises:
            UserError: the address cannot be used.
        """
        doorway = Doorway(read_files("presage.interface.label"), "/label", "presage label", host, self.token)
        with ThreadPoolExecutor(1, "films") as self._films:
            server = await doorway.open(self._connection, port, MAX_BYTES)
            ready(server.sockets[0].getsockname()[1])
            await self.draining.wait()
            server.close()
            await server.wait_closed()
            self._films.shutdown(cancel_futures=True)

    async def _connection(self, connection: ServerConnection) -> None:
        before, self._present = self._present, connection
        if before is not None:
            await before.close(4001, "these questions were opened in another tab")
        try:
            await self._show(connection)
            async for data in connection:
                try:
                    self._hear(data)
                except UserError as error:
                    await _say(connection, "error", text=" ".join(str(error).split()))
                await self._show(connection)
        except ConnectionClosed:
            pass  # nobody is left to talk to
        except Exception:
            log.exception("a question could not be asked")
            await connection.close(1011, "internal error; the server's log says more")
        finally:
            if self._present is connection:
                self._present = None

    def _hear(self, data: str | bytes) -> None:
        """Do what the browser says.

        Raises:
            UserError: it is none of what it may say, or cannot be done.
        """
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            raise UserError("the message is not JSON") from None
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "back":
            self.answers.back()
        elif kind == "answer":
            number, success = message.get("episode"), message.get("success", "nothing")
            whole = isinstance(number, int) and not isinstance(number, bool)
            if not (success is None or isinstance(success, bool)) or not whole:
                raise UserError("answer: give the number of an episode, and success as true, false or null")
            self.answers.say(number, success)
        else:
            raise UserError("a message is an object whose type is answer or back")

    async def _show(self, connection: ServerConnection) -> None:
        """Ask what is asked now."""
        number = self.answers.now
        facts: dict[str, Any] = {"episode": number, **self.answers.counts(), "file": str(self.answers.path)}
        if number is None:
            await _say(connection, "show", **facts)
            return
        told = self.answers.labels.answers.get(number)
        record = self.dataset.episodes[self._places[number]]
        facts |= {"said": None if told is None else {"success": told.success}, "instruction": record.instruction}
        clip, error = b"", None
        try:
            clip = await self._clip(number)
        except UserError as found:
            error = " ".join(str(found).split())
        following = self.answers.after()
        if following is not None:
            self._clip(following)
        await _say(connection, "show", **facts, seconds=record.length / self.dataset.fps, damaged=error)
        if clip:
            await connection.send(clip)

    def _clip(self, number: int) -> "asyncio.Future[bytes]":
        """The film of an episode, which is being made or was."""
        clip = self._clips.pop(number, None)
        if clip is None or clip.cancelled():
            loop = asyncio.get_running_loop()
            clip = loop.run_in_executor(self._films, film, self.dataset, self._places[number])
            clip.add_done_callback(_look)
        self._clips[number] = clip
        while len(self._clips) > KEPT:
            self._clips.pop(next(iter(self._clips)))
        return clip


def _look(clip: "asyncio.Future[bytes]") -> None:
    """What went wrong with a clip is said where it is shown; one that is never shown is no fault."""
    if not clip.cancelled():
        clip.exception()


async def _say(connection: ServerConnection, kind: str, **fields: Any) -> None:
    await connection.send(json.dumps({"type": kind, **fields}, allow_nan=False))
