"""The command: it says where it serves, finishes what runs when it is stopped, and lets nobody in by mistake."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.embodied import ARM, HAND, by_hand, save_robots, sight
from tests.servers import greeted, serving
from tests.tiny import tiny_model, tiny_observation
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

from presage.errors import UserError
from presage.interface.cli import main
from presage.policy import make_policy
from presage.serving.host import api_key, is_loopback
from presage.serving.server import PolicyServer
from presage.serving.wire import pack, unpack
from presage.training.checkpoint import load_model, save_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_model(tiny_model(), tmp_path_factory.mktemp("serve") / "tiny" / "model", "a random model")


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts `presage serve` on a free port; it is ended in any case."""
    servers = []

    def serve(*options: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "presage.interface.cli", "serve", *map(str, options), "--port", "0"]
        servers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return servers[-1]

    yield serve
    for server in servers:
        server.kill()
        server.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_finishes_what_runs_and_exits_with_0(checkpoint, tmp_path, start, number) -> None:
    figures = tmp_path / "figures.json"
    server = start(checkpoint, "--use", "open_loop", "--json", figures)
    line = server.stdout.readline()
    assert line.startswith("serving open_loop of tiny on ws://127.0.0.1:")
    address = line.split("ws://")[1].split()[0]
    row = {name: x[0] for name, x in tiny_observation(1).items()}
    with greeted(address) as idle, greeted(address) as busy:
        busy.send(pack({**row, "prompt": "open the drawer"}))
        busy.ping().wait(60)  # the server has read the request: frames are answered in order
        os.kill(server.pid, number)
        assert unpack(busy.recv(60))["actions"].shape == (4, 4)
        for connection in (idle, busy):
            with pytest.raises(ConnectionClosedOK, match="1001"):
                connection.recv(60)
    assert server.wait(60) == 0
    assert "requests    1" in server.stdout.read() and json.loads(figures.read_text())["figures"]["requests"] == 1
    with pytest.raises(OSError):
        greeted(address)


def test_one_of_two_robots_is_served_by_name(tmp_path, start, capfd) -> None:
    folder = save_robots(tmp_path / "both" / "model", [ARM, HAND])
    assert main(["serve", str(folder)]) == 2
    assert "knows several robots: choose one with --robot, from arm, hand" in capfd.readouterr().err
    assert main(["serve", str(folder), "--robot", "leg"]) == 2
    assert "--robot leg" in (said := capfd.readouterr().err) and "choose from arm, hand" in said
    line = start(folder, "--robot", "hand").stdout.readline()
    assert line.startswith("serving joint of both to hand on ws://127.0.0.1:")
    with greeted(line.split("ws://")[1].split()[0]) as connection:
        connection.send(pack({**sight(HAND), "prompt": "close"}))
        answer = unpack(connection.recv(60))["actions"]
    np.testing.assert_allclose(answer, by_hand(load_model(folder), HAND, [0], "close")[0], atol=1e-3)


def test_a_port_that_is_taken_is_one_line(checkpoint, capfd) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", str(checkpoint), "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another --host or --port" in capfd.readouterr().err


def test_the_key_comes_from_a_file_or_the_environment(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("PRESAGE_API_KEY", raising=False)
    assert api_key(None) is None
    monkeypatch.setenv("PRESAGE_API_KEY", "from-environment")
    assert api_key(None) == "from-environment"
    (tmp_path / "key").write_text("from-file\n")
    assert api_key(tmp_path / "key") == "from-file"
    for unusable in ("", "two words", "schl\u00fcssel"):
        (tmp_path / "key").write_text(unusable)
        with pytest.raises(UserError, match="holds no key"):
            api_key(tmp_path / "key")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)]
    + [("192.168.0.2", False), ("robot.local", False), ("localhost.evil.org", False), ("", False)],
)
def test_what_is_reachable_from_this_machine_only(host, loopback) -> None:
    assert is_loopback(host) is loopback


def test_a_served_policy_acts_in_the_simulator(tmp_path, capsys) -> None:
    model = tiny_model(size=64)
    folder = save_model(model, tmp_path / "model", "a random model")
    options = ["--checkpoint", str(folder), "--tasks", "reach-v3", "--episodes", "1", "--max-steps", "2"]
    with serving(lambda: PolicyServer(lambda: make_policy("joint", model), model, {})) as (server, address):
        assert main(["act", "--policy", f"ws://{address}", *options]) == 0
        assert server.metrics.seconds.count == 2
        names = ["--names", "image.front=observation/image"]
        assert main(["act", "--policy", f"ws://{address}", *names, *options]) == 2
    said = capsys.readouterr()
    assert f"ws://{address}, 1 episodes" in said.out
    assert "the observation has no image.front, image.top, state; expected" in said.err


DYING = """
import asyncio, os
from presage.serving.host import run_until_signalled
from presage.serving.server import PolicyServer
from presage.errors import UserError
from tests.tiny import tiny_model

class Dying:
    def reset(self, instructions): pass
    def act(self, observation): raise {error}

server = PolicyServer(Dying, tiny_model(), {{}})
try:
    run_until_signalled(server, "127.0.0.1", 0, lambda port: print(port, flush=True))
except UserError as error:
    print(error, flush=True)
    raise SystemExit(2)
"""


@pytest.mark.parametrize("error", ["SystemExit('gone')", "RuntimeError('CUDA error: device-side assert')"])
def test_inference_that_dies_is_told_to_clients_and_ends_the_server(error: str) -> None:
    command = [sys.executable, "-c", DYING.format(error=error)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = f"127.0.0.1:{int(process.stdout.readline())}"
        idle = greeted(address)
        with greeted(address) as connection:
            connection.send(pack({**{k: v[0] for k, v in tiny_observation(1).items()}, "prompt": "reach"}))
            assert connection.recv(30) == "inference has stopped: the server ends"
        with pytest.raises(ConnectionClosed):
            idle.recv(30)
        last = process.stdout.read()
        assert process.wait(30) == 2
        assert last.startswith("inference has stopped (") and last.count("\n") == 1
