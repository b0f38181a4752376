"""The conversation with one browser: controls in, frames out, at a pace that neither side dictates to the other.

Steps are taken at the chosen rate, and at once when the controls change, so that a key is answered by the next frame
and not by the next tick. A browser says which frames it has drawn; while too many are on the way, newer frames replace
older ones that were not sent, and are counted as dropped. So a slow browser is behind by a frame or two, never by a
queue.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from presage.errors import UserError
from presage.interface.play.controls import Controls
from presage.interface.play.dream import KEEP, PERSON, RECORDING, Dream, Moment, Row
from presage.interface.play.message import MAX_RATE, MAX_STEPS, finite, pack_frame, read_message
from presage.interface.play.recording import MAX_ROWS, Recording
from presage.interface.play.view import planes

log = logging.getLogger("presage.play")

IDLE_SECONDS = 120.0
"""Time stands still when nobody has touched the controls for so long, unless the policy drives."""
IN_FLIGHT = 2
"""Frames sent that the browser has not drawn yet."""

T = TypeVar("T")
Compute = Callable[[Callable[[], T]], Awaitable[T]]
"""Runs a function in the thread that computes."""


class Player:
    """A dream, and the browser that drives it while one is connected. Lives in the event loop's thread.

    Args:
        compute, files: run a function in the thread of the model, and in the one that reads and writes files.
        out: folder of recordings.
    """

    def __init__(
        self, key: str, dream: Dream, compute: Compute[Any], files: Compute[Any], out: Path, name: str
    ) -> None:
        self.key, self.dream, self.out, self.name = key, dream, out, name
        self.compute, self.files = compute, files
        self.controls = Controls(dream.studio.model.chunk_shape[1])
        self.rate = dream.studio.model.fps
        self.running, self.driver = False, RECORDING if dream.studio.recorded else PERSON
        self.recording: Recording | None = None
        self.connection: ServerConnection | None = None
        self.left = time.monotonic()
        """When the last browser went away."""
        self.steps, self.dropped, self.step_seconds = 0, 0, 0.0
        self._chair = asyncio.Lock()
        self._writing: set[asyncio.Task[None]] = set()
        self._touched = time.monotonic()
        """When the person last did anything."""
        self._wake = asyncio.Event()
        self._fresh, self._drawn = asyncio.Event(), asyncio.Event()
        self._frame: tuple[Moment, float] | None = None
        """What is to be sent, with the stamp of the controls that led to it."""
        self._numbers: deque[int] = deque()
        """Of the frames on their way."""
        self._sent = 0
        self._branches: deque[list[Any]] = deque(maxlen=KEEP)
        """Moments the browser has not heard of."""

    async def attend(self, connection: ServerConnection) -> None:
        """Play until the browser goes away. Another one that was playing has to have left."""
        async with self._chair:
            await self._attend(connection)

    async def _attend(self, connection: ServerConnection) -> None:
        self._numbers.clear()
        resumed = hasattr(self.dream, "now")
        if not resumed:
            await self.compute(self.dream.begin)
        self._branches.clear()
        self._branches.extend(branch(moment.row) for moment in self.dream.moments.values())
        await self._say("hello", **self._greeting(resumed))
        self._show(None)
        tasks = [
            asyncio.create_task(each) for each in (self._listen(connection), self._drive(), self._send(connection))
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.connection is connection:
                self.connection, self.running, self.left = None, False, time.monotonic()

    # -- what is said
    # -----------------------------------------------------------------------------------------------------

    async def _say(self, kind: str, **fields: Any) -> None:
        if self.connection is not None:
            await self.connection.send(json.dumps({"type": kind, **fields}, allow_nan=False))

    def _greeting(self, resumed: bool) -> dict[str, Any]:
        studio = self.dream.studio
        model = studio.model
        state = self.dream.now.row.imagined.get("state")
        return {
            "session": self.key,
            "resumed": resumed,
            "model": self.name,
            "cameras": list(model.cameras),
            "size": model.size,
            "fps": model.fps,
            "actions": model.chunk_shape[1],
            "tasks": studio.tasks,
            **studio.greeting(None if state is None else state[0]),
            "threshold": studio.threshold,
            "keep": KEEP,
            "limits": {"rate": MAX_RATE, "steps": MAX_STEPS},
            "state": self._state(),
        }

    def _state(self) -> dict[str, Any]:
        dream, settings = self.dream, self.dream.settings
        return {
            "task": dream.task,
            "scene": dream.scene,
            "instruction": settings.instruction,
            "steps": settings.steps,
            "seed": settings.seed,
            "spread": settings.spread,
            "rate": self.rate,
            "running": self.running,
            "driver": self.driver,
            "beside": dream.now.row.real is not None,
            **dream.studio.where(dream.slot),
            "recording": None
            if self.recording is None
            else {"frames": self.recording.source, "rows": self.recording.length},
        }

    def _show(self, row: Row | None) -> None:
        """Put the present moment on its way; one that was not sent yet is dropped."""
        if row is not None:
            self._branches.append(branch(row))
        if self._frame is not None:
            self.dropped += 1
        self._frame = (self.dream.now, self.controls.stamp)
        self._fresh.set()

    async def _send(self, connection: ServerConnection) -> None:
        while True:
            await self._fresh.wait()
            while len(self._numbers) >= IN_FLIGHT:
                self._drawn.clear()
                await self._drawn.wait()
            self._fresh.clear()
            frame, self._frame = self._frame, None
            if frame is not None:
                self._sent += 1
                self._numbers.append(self._sent)
                header = self._header(*frame)
                self._branches.clear()
                await connection.send(pack_frame(header, planes(frame[0])))

    def _header(self, moment: Moment, stamp: float) -> dict[str, Any]:
        row = moment.row
        return {
            "frame": self._sent,
            "moment": row.number,
            "depth": row.depth,
            "branches": list(self._branches),
            "value": finite(row.value),
            "reached": row.reached,
            "success": row.success,
            "driver": row.driver,
            "stamp": stamp,
            "steps": self.steps,
            "step_ms": round(1000 * self.step_seconds, 1),
            "dropped": self.dropped,
            "recorded": 0 if self.recording is None else self.recording.length,
        }

    # -- what is done
    # -----------------------------------------------------------------------------------------------------

    async def _drive(self) -> None:
        while True:
            if not self.running:
                await self._wake.wait()
                self._wake.clear()
                continue
            if self.driver == PERSON and time.monotonic() - self._touched > IDLE_SECONDS:
                self.running = False
                await self._tell()
                continue
            started = time.perf_counter()
            action = self.controls.heed()
            held = action if self.driver == PERSON else None
            take = self.dream.follow if self.driver == RECORDING else partial(self.dream.step, held)
            try:
                row = await self.compute(take)
            except UserError as error:
                self.running = False
                await self._tell()
                await self._complain(error)
                continue
            self.step_seconds = time.perf_counter() - started
            self.steps += 1
            self._show(row)
            self._keep(row)
            if not self.controls.urgent:
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, started + 1 / self.rate - time.perf_counter())):
                        await self._wake.wait()
            self._wake.clear()

    async def _listen(self, connection: ServerConnection) -> None:
        async for data in connection:
            try:
                kind, fields = read_message(data)
                if kind != "seen":
                    self._touched = time.monotonic()
                await getattr(self, f"_on_{kind}")(**fields)
            except UserError as error:
                await self._complain(error)

    async def _complain(self, error: UserError) -> None:
        await self._say("error", text=" ".join(str(error).split()))

    async def _tell(self) -> None:
        await self._say("state", state=self._state())

    async def _on_controls(self, action: np.ndarray, stamp: float) -> None:
        if len(action) != len(self.controls.action):
            raise UserError(f"controls.action has {len(action)} numbers: this robot takes {len(self.controls.action)}")
        self.controls.change(action, stamp)
        if self.controls.urgent:
            self._wake.set()

    async def _on_seen(self, frame: int) -> None:
        while self._numbers and self._numbers[0] <= frame:
            self._numbers.popleft()
        self._drawn.set()

    async def _on_run(self, on: bool) -> None:
        if on and not self.running:
            self._wake.set()
        self.running = on
        await self._tell()

    async def _on_drive(self, by: str) -> None:
        if by == RECORDING and not self.dream.studio.recorded:
            raise UserError("there is no recording to follow: start presage play with --data DIR")
        self.driver = by
        await self._tell()

    async def _on_settings(self, steps: int, rate: float, seed: int, spread: bool) -> None:
        settings = self.dream.settings
        settings.steps, settings.seed, settings.spread, self.rate = steps, seed, spread, rate
        await self._tell()

    async def _on_instruct(self, text: str) -> None:
        await self.compute(lambda: self.dream.instruct(text))
        self._begin_episode(self.dream.now.row)
        await self._tell()

    async def _on_reset(self, task: str, scene: int) -> None:
        if self.recording is not None:
            self.dream.studio.facts(task, scene)  # refused before anything has changed
        row = await self.compute(lambda: self.dream.reset(task, scene))
        await self._began(row)

    async def _on_start(self, episode: int, frame: int) -> None:
        row = await self.compute(lambda: self.dream.start(episode, frame))
        await self._began(row)

    async def _began(self, row: Row) -> None:
        self._begin_episode(row)
        self._show(row)
        await self._tell()

    async def _on_rewind(self, moment: int) -> None:
        await self.compute(lambda: self.dream.rewind(moment))
        self.running = False
        self._show(None)
        await self._tell()

    async def _on_ground(self) -> None:
        await self._interfere(self.dream.ground)

    async def _on_disturb(self, kind: str) -> None:
        await self._interfere(lambda: self.dream.disturb(kind))

    async def _interfere(self, action: Callable[[], Row]) -> None:
        row = await self.compute(action)
        self._show(row)
        self._keep(row)

    # -- recording
    # --------------------------------------------------------------------------------------------------------

    async def _on_record(self, on: bool, frames: str, good: bool) -> None:
        if on and self.recording is None:
            if frames == "real" and self.dream.studio.recorded:
                raise UserError("what is beside this dream was recorded already: record the imagined frames")
            source: Any = frames
            words, row = self.dream.settings.instruction, self.dream.now.row
            self.recording = Recording(source, good, row, self._facts(), words)
            await self._tell()
        elif not on and self.recording is not None:
            self._save()

    def _keep(self, row: Row) -> None:
        """Record a row; a recording that is full is written."""
        if self.recording is not None:
            self.recording.add(row)
            if self.recording.length >= MAX_ROWS:
                self._save()

    def _begin_episode(self, row: Row) -> None:
        if self.recording is not None:
            self.recording.begin(row, self._facts(), self.dream.settings.instruction)

    def _facts(self) -> dict[str, str | int | float | bool]:
        dream = self.dream
        return {**dream.studio.facts(dream.task, dream.scene), "denoising_steps": dream.settings.steps}

    async def close(self) -> None:
        """Write what is still being recorded."""
        if self.recording is not None:
            self._save()
        await asyncio.gather(*self._writing)

    def _save(self) -> None:
        """End the recording and write it, while the dream goes on."""
        recording, self.recording = self.recording, None
        assert recording is not None
        recording.stop(self.dream.now.row.number)
        task = asyncio.create_task(self._write(recording))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, recording: Recording) -> None:
        studio = self.dream.studio
        try:
            with suppress(ConnectionClosed):  # the dataset is there, whoever hears of it
                await self._tell()
            folder = await self.files(lambda: recording.write(self.out, studio.model.fps, studio.robot))
            studio.recordings += 1
            rows = sum(episode.length for episode in recording.episodes)
            with suppress(ConnectionClosed):
                await self._say("saved", folder=str(folder), episodes=len(recording.episodes), rows=rows)
        except UserError as error:
            with suppress(ConnectionClosed):
                await self._complain(error)
        except Exception:
            log.exception("a recording could not be written")
            with suppress(ConnectionClosed):
                await self._complain(UserError("the recording could not be written; the server's log says more"))


def branch(row: Row) -> list[Any]:
    """What the browser draws of a moment: number, parent, depth, value."""
    return [row.number, row.parent, row.depth, finite(row.value)]
