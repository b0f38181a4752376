"""The command: it says where it serves, finishes what runs when it is stopped, and lets nobody in by mistake."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.embodied import ARM, HAND, by_hand, save_robots, sight
from tests.episodes.robots import write_robot
from tests.servers import ask, ask_at_once, greeted, serving
from tests.tiny import tiny_model, tiny_observation
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

from presage.codecs.scalars import ScalarCodec
from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.errors import UserError
from presage.interface.cli import main
from presage.interface.commands.serve import Serve
from presage.networks.composed import Shape
from presage.networks.robot import RobotModel
from presage.policy import make_policy
from presage.policy.grounded import GroundedPolicy
from presage.serving.host import api_key, is_loopback
from presage.serving.server import PolicyServer
from presage.serving.wire import pack, unpack
from presage.simulator.planning import best_of
from presage.systems.checkpoint import save_system, system_of
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


def save_reference(folder: Path, seen: int) -> Path:
    """A system that knows the arm of `write_robot`; its judge has seen so many batches with known outcomes."""
    arm = Robot.from_dataset(Dataset(write_robot(folder.parent / "arm", ("front", "top"), joints=4, fps=20)))
    scales = ScalarCodec([0.0] * 16, [4.0] * 16), ScalarCodec([1.0] * 4, [2.0] * 4)
    shape = Shape(("front", "top"), 32, 4, 4, 4, *scales, fps=5)
    torch.manual_seed(0)
    model = system_of("reference", shape, "debug").build(shape).eval()
    model.parts["judge"].taught.fill_(seen)
    facts = {"robots": [arm.to_config()], "slots": asdict(Slots.of([arm]))}
    return save_system(model, "reference", shape, "debug", folder, "# card", facts)


def planned(model: RobotModel, requests: list[dict[str, np.ndarray]], prompt: str, **options: int) -> list[np.ndarray]:
    """What best of N answers to requests of an episode, one after the other."""
    policy = GroundedPolicy(model, best_of(**options))
    policy.reset([prompt])
    return [policy.act({name: x[None] for name, x in each.items()})[0] for each in requests]


def test_a_planner_is_served_over_the_same_wire_as_a_policy(checkpoint, start) -> None:
    line = start(checkpoint, "--plan", "--candidates", 3, "--horizon", 2).stdout.readline()
    assert line.startswith("serving plan of tiny on ws://127.0.0.1:")
    rows = [{name: x[0] for name, x in tiny_observation(1, seed=t).items()} for t in range(3)]
    with greeted(line.split("ws://")[1].split()[0]) as connection:
        answers = [ask(connection, {**row, "prompt": "close the drawer"})["actions"] for row in rows]
    model = load_model(checkpoint)
    expected = planned(model, rows, "close the drawer", n=3, horizon=2)
    np.testing.assert_allclose(answers, expected, atol=1e-4)
    alone = planned(model, rows, "close the drawer", n=1)  # acting at once
    assert np.abs(np.array(expected) - alone).max() > 0.01


def test_planners_that_are_asked_at_once_share_a_batch(checkpoint) -> None:
    model = load_model(checkpoint)
    make = Serve(plan=True, candidates=3)._planner(checkpoint, model)

    def request(seed: int, prompt: str) -> dict:
        return {**{name: x[0] for name, x in tiny_observation(1, seed=seed).items()}, "prompt": prompt}

    with serving(lambda: PolicyServer(make, model, {})) as (server, address):
        answers = ask_at_once(server, address, 3, 3, request)
    for i, chunks in answers.items():
        rows = [{name: x[0] for name, x in tiny_observation(1, seed=100 * i + t).items()} for t in range(3)]
        np.testing.assert_allclose(chunks, planned(model, rows, f"task {i}", n=3), atol=1e-3)


def test_a_system_that_was_told_outcomes_plans_for_its_robot(tmp_path, start) -> None:
    folder = save_reference(tmp_path / "run" / "model", seen=5)
    line = start(folder, "--plan", "--candidates", 2).stdout.readline()
    assert line.startswith("serving plan of run to arm on ws://127.0.0.1:")
    sight = {f"image.{c}": np.full((48, 64, 3), 40 * i, np.uint8) for i, c in enumerate(("front", "top"))}
    with greeted(line.split("ws://")[1].split()[0]) as connection:
        answer = ask(connection, {**sight, "state": np.ones(4, np.float32), "prompt": "lift the cube"})["actions"]
    assert answer.shape == (4, 4) and np.isfinite(answer).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["silent", "--plan"], "--plan: silent cannot say how good a future is (no outcome was in what this model"),
        (["run", "--plan"], "--plan: run cannot say how good a future is (this model has no judge of success"),
        (["tiny", "--plan", "--use", "open_loop"], "--use open_loop does not apply to --plan"),
        (["tiny", "--candidates", "4"], "--candidates goes with --plan: give both or neither"),
        (["tiny", "--plan", "--candidates", "0"], "--candidates 0"),
    ],
)
def test_what_cannot_plan_is_one_line(arguments, message, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tiny_model(), Path("silent"), "# card", {"judges": False})
    save_model(tiny_model(), Path("tiny"), "# card")
    save_reference(Path("run"), seen=0)
    assert main(["serve", *arguments]) == 2
    said = capfd.readouterr().err
    assert message in said and said.count("\n") == 1


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
