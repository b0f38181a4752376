"""Can one play in the dream? `presage play` as a real process, its page open in headless Chromium, keys pressed.

Speed is what the page itself measures: frames drawn, and the time from a key (the event's own time) to the drawn frame
that heeds it. Two players who hold different actions are compared, pixel by pixel, with the same players alone; how far
apart the two are is printed too, because equal dreams could be mixed up unnoticed.
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from websockets.sync.client import connect

from presage.benchmarks.common import BenchArgs
from presage.errors import UserError
from presage.simulator.pairing import check_robot

KEYS = ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "KeyE", "KeyQ")
RATE = 20
"""Steps a second that are asked for: as many as the page offers."""
TASK = "drawer-open-v3"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Playing:
    """A running `presage play`."""

    process: "subprocess.Popen[str]"
    url: str

    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def cpu_seconds(self) -> float:
        """Used up by all threads of the server until now."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(args: BenchArgs) -> dict[str, Any]:
    """One browser for ten minutes; a reload; then two players at once beside each of them alone.

    frames_per_s, p50_ms, p95_ms: as the page measures them. dropped_share: of all steps, frames never drawn. rss_*: of
    the server, from when its memory of moments is full. players_difference: largest difference of a pixel between a
    player at the same time as another and the same player alone; players_apart is its control.
    """
    check_robot([TASK], args.checkpoint)
    seconds, warm, steps = (10.0, 5.0, 8) if args.quick else (600.0, 60.0, 60)
    with tempfile.TemporaryDirectory() as out, playing(args, Path(out)) as server:
        with opened(server.url) as page:
            set_rate(page, RATE)
            press_keys(page, warm, args.seed)
            before, rss_start, cpu = stats(page), server.rss_mib(), server.cpu_seconds()
            start = time.perf_counter()
            press_keys(page, seconds, args.seed + 1)
            elapsed, after = time.perf_counter() - start, stats(page)
            rss_end, cpu = server.rss_mib(), server.cpu_seconds() - cpu
            resumed = resumes(page)
        frames = after["frames"] - before["frames"]
        lost = after["lost"] - before["lost"]
        latencies = after["latencies"][-max(1, after["heard"] - before["heard"]) :]
        actions = [[0.5, 0.2, 0.3, -1.0], [-0.4, 0.6, -0.2, 1.0]]
        lone = [hold(server.url, action, steps) for action in actions]
        together = hold_together(server.url, actions, steps)
        server.process.send_signal(signal.SIGTERM)
        exit_code = server.process.wait(60)
    return {
        "seconds": elapsed,
        "frames_per_s": frames / elapsed,
        "p50_ms": float(np.quantile(latencies, 0.5)),
        "p95_ms": float(np.quantile(latencies, 0.95)),
        "keys": len(latencies),
        "dropped_share": lost / max(1, frames + lost),
        "server_cpu_ms_per_frame": 1000 * cpu / max(1, frames),
        "rss_mib_start": rss_start,
        "rss_mib_end": rss_end,
        "rss_growth": rss_end / rss_start - 1,
        "players_difference": max(largest_difference(a, b) for a, b in zip(lone, together, strict=True)),
        "players_apart": largest_difference(*together),
        "reload_resumes": resumed,
        "load_average": os.getloadavg()[0],
        "exit_code": exit_code,
    }


@contextlib.contextmanager
def playing(args: BenchArgs, out: Path) -> Iterator[Playing]:
    """A server process that records to `out`; it is ended in any case."""
    module = [
        sys.executable,
        "-m",
        "presage.interface.cli",
        "play",
        "--task",
        TASK,
        "--checkpoint",
        str(args.checkpoint),
    ]
    process = subprocess.Popen(
        [*module, "--port", "0", "--seed", str(args.seed), "--out", str(out)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = re.search(r"http://\S+", process.stdout.readline())
        assert address is not None, "the server did not start"
        yield Playing(process, address[0])
    finally:
        process.kill()
        process.wait()


# -- a browser --------------------------------------------------------------------------------------------------------


def find_browser() -> str:
    """A Chromium of this machine.

    Raises:
        UserError: there is none, or nothing to drive it with.
    """
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise UserError("no Chromium on this machine to open the page in; type: apt-get install chromium")
    try:
        import playwright  # noqa: F401
    except ModuleNotFoundError:
        raise UserError("playwright, which drives the browser, is missing; type: pip install -e '.[dev]'") from None
    return found


@contextlib.contextmanager
def opened(url: str, **context: Any) -> Iterator[Any]:
    """The page, its first frame drawn, in a browser of its own. What its script complains of is an error here."""
    executable = find_browser()
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    with sync_playwright() as driver:
        # A browser as root needs --no-sandbox; the page is our own.
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        try:
            page = browser.new_context(**context).new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(url)
            wait(page, "window.presage.measure.frames > 0")
            yield page
        finally:
            browser.close()
    assert not errors, errors


def wait(page: Any, condition: str, seconds: float = 60.0) -> None:
    """Until an expression of the page is true. (Playwright's own waiting evaluates text, which the page forbids.)"""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise TimeoutError(f"the page did not come to: {condition}")
        page.wait_for_timeout(50)


def set_rate(page: Any, rate: int) -> None:
    page.locator("#rate").fill(str(rate))
    page.locator("#rate").press("Enter")
    wait(page, f"window.presage.state.rate === {rate}")


def press_keys(page: Any, seconds: float, seed: int) -> None:
    """Drive about at random, a key or two every second."""
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    with tqdm(total=round(seconds), desc="playing", unit="s", leave=False) as bar:
        while (left := end - time.monotonic()) > 0:
            key = rng.choice(KEYS)
            page.keyboard.down(key)
            page.wait_for_timeout(1000 * min(left, rng.uniform(0.1, 0.8)))
            page.keyboard.up(key)
            page.wait_for_timeout(1000 * rng.uniform(0.05, 0.3))
            bar.n = round(seconds - max(0.0, left))
            bar.refresh()


def stats(page: Any) -> dict[str, Any]:
    """What the page has measured so far."""
    return page.evaluate(
        "(() => { const m = window.presage.measure;"
        " return { frames: m.frames, lost: m.dropped + m.skipped, latencies: m.latencies, heard: m.heard }; })()"
    )


def resumes(page: Any) -> bool:
    """Whether a reload shows the same moment of the same dream, to the pixel."""
    look = (
        "[sessionStorage.getItem('presage-session'), window.presage.strip.now,"
        " document.querySelector('#views canvas').toDataURL()]"
    )
    if page.evaluate("window.presage.state.running"):
        page.keyboard.press("KeyP")
    wait(page, "!window.presage.state.running")
    before = None
    while before != (before := page.evaluate(look)):  # the step that was on its way is drawn yet
        page.wait_for_timeout(1000)
    page.reload()
    wait(page, "window.presage?.measure.frames > 0")
    return page.evaluate(look) == before


# -- players without a browser ----------------------------------------------------------------------------------------


def read_frame(data: bytes) -> tuple[dict[str, Any], bytes]:
    """(header, all pictures) of a frame; see `interface/play/message.py: pack_frame`."""
    (length,) = struct.unpack_from("<I", data)
    return json.loads(data[4 : 4 + length]), data[4 + length :]


def hold(url: str, action: Sequence[float], steps: int) -> dict[int, bytes]:
    """Hold one action from the first moment on: depth -> its pictures, as far as they were sent."""
    seen: dict[int, bytes] = {}
    with connect(f"ws{url.removeprefix('http')}play", max_size=None, compression=None) as connection:
        hello = json.loads(connection.recv())
        say = lambda kind, **fields: connection.send(json.dumps({"type": kind, **fields}))  # noqa: E731
        say("controls", action=list(action[: hello["actions"]]), stamp=0)
        say("settings", steps=0, rate=RATE, seed=0, spread=False)
        say("run", on=True)
        while max(seen, default=0) < steps:
            data = connection.recv(60)
            if isinstance(data, bytes):
                header, pictures = read_frame(data)
                seen[header["depth"]] = pictures
                say("seen", frame=header["frame"])
    return seen


def hold_together(url: str, actions: Sequence[Sequence[float]], steps: int) -> list[dict[int, bytes]]:
    """`hold` for several players at the same time."""
    results: list[dict[int, bytes]] = [{} for _ in actions]

    def play(i: int) -> None:
        results[i] = hold(url, actions[i], steps)

    threads = [threading.Thread(target=play, args=(i,)) for i in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def largest_difference(one: dict[int, bytes], other: dict[int, bytes]) -> int:
    """Of a pixel's colour, over the moments that both saw, of which there must be some after the first."""
    common = [depth for depth in one if depth in other]
    if max(common, default=0) < 1:
        return 255
    pairs = [(np.frombuffer(one[d], np.uint8), np.frombuffer(other[d], np.uint8)) for d in common]
    return max(int(np.abs(a.astype(np.int16) - b.astype(np.int16)).max()) for a, b in pairs)
