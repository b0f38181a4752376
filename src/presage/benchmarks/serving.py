"""Does `presage serve` hold under load, and does nobody hear another one's answer? A real server process on loopback.

Every client sends the same recorded episode again and again; a lone session in this process has answered it before, so
each answer over the socket is compared with what it should be. How far apart the clients' own answers are is printed
too: if they were alike, mixing them up would not be noticed.
"""

import asyncio
import contextlib
import http.client
import os
import random
import re
import secrets
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import torch
from tqdm import tqdm
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from presage.benchmarks.common import BenchArgs
from presage.device import compute_dtype
from presage.networks.robot import RobotModel
from presage.policy import make_policy
from presage.serving.wire import pack, unpack
from presage.systems.checkpoint import open_model
from presage.worlds.instructions import MT10, instructions

USE = "joint"
DEADLINE = 60
"""Seconds a request may wait: a saturated server is what is measured, and no request is to be dropped."""
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Of an action, against the lone session: batches of other sizes round differently."""


@dataclass(frozen=True)
class Server:
    """A running `presage serve`."""

    process: "subprocess.Popen[str]"
    address: str
    key: str

    def get(self, path: str) -> str:
        """The text at `path`."""
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request("GET", path, headers=self.headers())
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        found = re.search(rf"^{name} (\S+)$", self.get("/metrics"), re.MULTILINE)
        assert found is not None, name
        return float(found[1])

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Api-Key {self.key}"}

    def connect(self, key: str | None = None) -> Any:
        headers = {"Authorization": f"Api-Key {self.key if key is None else key}"}
        return connect(f"ws://{self.address}", compression=None, max_size=None, additional_headers=headers)

    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


@dataclass(frozen=True)
class Episode:
    """What one client sends, and what it must hear."""

    messages: list[bytes]
    answers: list[np.ndarray]


@dataclass
class Load:
    """What the clients of a load saw, and the server's memory every second."""

    latencies: list[float] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)


def run(args: BenchArgs) -> dict[str, Any]:
    """16 clients for 300 s, each asking again as soon as it is answered; 10,000 malformed messages; a killed client.

    cross_talk: answers that differ from the lone session's by more than `tolerance`. *_one_client: the same with one
    client, which is what many would share without batches. closest_sessions: the smallest difference between two
    clients' answers at the same step, the control of cross_talk. rss_*: of the server, without open connections;
    `rss_growth_second_half` with them, from 150 s to 300 s: what allocators keep for later grows at first, a leak
    always.
    """
    clients, seconds, steps, malformed = (4, 2.0, 5, 100) if args.quick else (16, 300.0, 20, 10_000)
    model = open_model(args.checkpoint, args.device)
    bar = tqdm(range(clients), desc="lone sessions", unit="episode")
    episodes = [record_episode(model, args.seed, client, steps) for client in bar]
    tolerance = TOLERANCE[compute_dtype(args.device)]
    with serving(args) as server:
        one, *_ = asyncio.run(under_load(server, episodes[:1], seconds / 10))
        warm, *_ = asyncio.run(under_load(server, episodes, seconds / 5))  # until pools of every batch size are there
        rss_start = server.rss_mib()
        load, batch, health = asyncio.run(under_load(server, episodes, seconds))
        rss_end = server.rss_mib()
        refused = asyncio.run(wrong_keys_refused(server))
        survived = asyncio.run(send_malformed(server, malformed, args.seed))
        freed = seconds_until_freed(server)
        after, *_ = asyncio.run(under_load(server, episodes, seconds / 10))
        rss_malformed = server.rss_mib()
        server.process.send_signal(signal.SIGTERM)
        exit_code = server.process.wait(60)
    differences = [d for part in (one, warm, load, after) for d in part.differences]
    return {
        "clients": clients,
        "seconds": seconds,
        "requests": len(load.latencies),
        "requests_per_s": len(load.latencies) / seconds,
        "p50_ms": 1000 * float(np.quantile(load.latencies, 0.5)),
        "p99_ms": 1000 * float(np.quantile(load.latencies, 0.99)),
        "mean_batch": batch,
        "requests_per_s_one_client": len(one.latencies) / (seconds / 10),
        "p50_ms_one_client": 1000 * float(np.quantile(one.latencies, 0.5)),
        "cross_talk": sum(d > tolerance for d in differences),
        "max_abs_difference": max(differences),
        "tolerance": tolerance,
        "closest_sessions": closest(episodes),
        "healthz_p50_ms": 1000 * float(np.quantile(health, 0.5)),
        "healthz_p99_ms": 1000 * float(np.quantile(health, 0.99)),
        "rss_mib_start": rss_start,
        "rss_mib_end": rss_end,
        "rss_mib_after_malformed": rss_malformed,
        "rss_growth": rss_end / rss_start - 1,
        "rss_growth_second_half": load.rss_mib[-1] / load.rss_mib[len(load.rss_mib) // 2] - 1,
        "malformed": malformed,
        "malformed_not_refused": malformed - survived,
        "wrong_key_refused": refused,
        "killed_client_freed_s": freed,
        "exit_code": exit_code,
    }


def record_episode(model: RobotModel, seed: int, client: int, steps: int) -> Episode:
    """Frames of blocks that move, a random state, an instruction; and a lone session's chunks."""
    rng = np.random.default_rng([seed, client])
    size = model.size
    prompt = instructions(MT10[client % len(MT10)])[0]
    policy = make_policy(USE, model, seed)
    policy.reset([prompt])
    scene = rng.integers(0, 256, (len(model.cameras), 4, 4, 3), dtype=np.uint8)
    scene = scene.repeat(-(-size // 4), 1).repeat(-(-size // 4), 2)[:, :size, :size]
    messages, answers = [], []
    for step in range(steps):
        frames = np.roll(scene, (step, client), (1, 2))
        state = rng.uniform(-0.5, 0.5, model.state_dim).astype(np.float32)
        observation = {f"image.{camera}": frames[i] for i, camera in enumerate(model.cameras)}
        if model.state_dim:
            observation["state"] = state
        answers.append(policy.act({name: x[None] for name, x in observation.items()})[0])
        messages.append(pack({**observation, "prompt": prompt, "reset": step == 0, "sequence": step}))
    return Episode(messages, answers)


def closest(episodes: list[Episode]) -> float:
    """The smallest largest-entry difference between two episodes' answers at one step."""
    answers = np.stack([episode.answers for episode in episodes])
    apart = np.abs(answers[:, None] - answers[None]).max((-1, -2))
    return float(apart[~np.eye(len(episodes), dtype=bool)].min())


@contextlib.contextmanager
def serving(args: BenchArgs) -> Iterator[Server]:
    """A server process that wants a key; it is ended in any case."""
    key = secrets.token_hex(16)
    module = [sys.executable, "-m", "presage.interface.cli", "serve", str(args.checkpoint), "--use", USE]
    process = subprocess.Popen(
        [*module, "--port", "0", "--seed", str(args.seed), "--deadline", str(DEADLINE)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PRESAGE_API_KEY": key},
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().partition("ws://")[2].split()[0]
        yield Server(process, address, key)
    finally:
        process.kill()
        process.wait()


async def under_load(server: Server, episodes: list[Episode], seconds: float) -> tuple[Load, float, list[float]]:
    """Every episode again and again by a client of its own: (what they saw, mean batch, seconds of GET /healthz)."""
    load, health = Load(), list[float]()
    before = [await asyncio.to_thread(server.metric, f"presage_batch_size_{part}") for part in ("sum", "count")]
    end = time.perf_counter() + seconds

    async def client(episode: Episode) -> None:
        async with server.connect() as connection:
            await connection.recv()
            while True:
                for step, message in enumerate(episode.messages):
                    start = time.perf_counter()
                    await connection.send(message)
                    answer = unpack(await connection.recv())
                    now = time.perf_counter()
                    load.latencies.append(now - start)
                    apart = float(np.abs(answer["actions"] - episode.answers[step]).max())
                    load.differences.append(apart if answer["sequence"] == step else float("inf"))
                    if now > end:
                        return

    async def ask_health() -> None:
        while time.perf_counter() < end:
            start = time.perf_counter()
            await asyncio.to_thread(server.get, "/healthz")
            health.append(time.perf_counter() - start)
            await asyncio.sleep(0.05)

    async def show() -> None:
        for _ in tqdm(range(round(seconds)), desc=f"serving {len(episodes)} clients", unit="s"):
            load.rss_mib.append(server.rss_mib())
            await asyncio.sleep(1)

    await asyncio.gather(ask_health(), show(), *map(client, episodes))
    after = [await asyncio.to_thread(server.metric, f"presage_batch_size_{part}") for part in ("sum", "count")]
    return load, (after[0] - before[0]) / (after[1] - before[1]), health


async def wrong_keys_refused(server: Server) -> bool:
    """Whether no key, an empty, a shorter, a longer and another one are all turned away before the handshake."""
    for key in ("", server.key[:-1], f"{server.key}0", secrets.token_hex(16)):
        try:
            async with server.connect(key):
                return False
        except InvalidStatus as error:
            if error.response.status_code != 401:
                return False
    return True


async def send_malformed(server: Server, count: int, seed: int) -> int:
    """How many of `count` malformed messages, each on a connection of its own, were refused as they should be."""
    rng = random.Random(seed)
    frames = [malformed(rng) for _ in range(count)]
    refused = 0
    bar = tqdm(total=count, desc="malformed", unit="message")

    async def sender() -> None:
        nonlocal refused
        while frames:
            if await is_refused(server, frames.pop()):  # not `refused += await ...`, which reads before it waits
                refused += 1
            bar.update()

    await asyncio.gather(*[sender() for _ in range(8)])
    bar.close()
    return refused


async def is_refused(server: Server, frame: bytes | str) -> bool:
    """Whether a message on a connection of its own is answered by an error, or the connection closed."""
    connection = await server.connect()
    try:
        await connection.recv()
        await connection.send(frame)
        return isinstance(await connection.recv(), str)
    except ConnectionClosed:  # a frame over the limit is closed without a word
        return True
    finally:
        with contextlib.suppress(
            AttributeError
        ):  # asyncio's, where the server hung up while a large frame was being sent
            await connection.close()


def malformed(rng: random.Random) -> bytes | str:
    """One message that must be refused, of nine kinds."""
    image = np.zeros((64, 64, 3), np.uint8)
    whole = pack({"image.front": image, "image.top": image, "state": np.zeros(4, np.float32), "prompt": "reach"})
    size = rng.choice([2**31, 2**40, 2**62])
    dtype = rng.choice(["O", "V4", "<c8", "f4,f4", "(9,)f4", "<U999999999", "x"])
    kinds: list[bytes | str] = [
        rng.randbytes(rng.randrange(0, 2000)),
        whole[: rng.randrange(len(whole))],
        msgpack.packb({"state": _array(b"abcd", "<f4", [size])}),
        msgpack.packb({"state": _array(b"abcd", dtype, [1])}),
        pack({"image.front": image.astype(rng.choice(["f4", "i8", "?"])), "prompt": "reach"}),
        rng.choice([b"\x91", b"\x81\xa1a"]) * rng.randrange(600, 200_000),
        b"\xdd" + struct.pack(">I", rng.randrange(20_000, 2**32)) + rng.randbytes(20),
        "".join(rng.choices("{}[]\"':,abc ", k=rng.randrange(1, 200))),
        bytes(rng.randrange(2**21, 2**22)),
    ]
    return rng.choice(kinds)


def _array(data: bytes, dtype: str, shape: list[int]) -> dict[bytes, Any]:
    return {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}


def seconds_until_freed(server: Server) -> float:
    """From the death of a client that holds a session until the server has none."""
    code = (
        "import sys\nfrom websockets.sync.client import connect\n"
        "with connect(sys.argv[1], additional_headers={'Authorization': sys.argv[2]}) as c:\n"
        "    c.recv()\n    print('open', flush=True)\n    c.recv()\n"
    )
    arguments = [sys.executable, "-c", code, f"ws://{server.address}", f"Api-Key {server.key}"]
    client = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    assert client.stdout is not None
    client.stdout.readline()
    assert server.metric("presage_open_sessions") == 1
    client.kill()
    client.wait()
    start = time.perf_counter()
    while server.metric("presage_open_sessions") and time.perf_counter() - start < 60:
        time.sleep(0.005)
    return time.perf_counter() - start
