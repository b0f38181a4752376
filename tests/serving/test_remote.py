"""A policy behind a server, presage's own or a foreign one, acts as any other policy does; what goes wrong is one
line."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from tests.servers import serving, wait_until
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_model, tiny_observation
from websockets.sync.server import ServerConnection, serve

from presage.errors import UserError
from presage.policy import make_policy
from presage.serving.remote import RemotePolicy
from presage.serving.server import PolicyServer
from presage.serving.wire import pack, unpack
from presage.simulator.environment import DreamWorld
from presage.simulator.evaluation import judge


@contextmanager
def foreign(answer: Callable[[dict], object], metadata: object = b"\x80") -> Iterator[tuple[str, list[list[dict]]]]:
    """(url, what was received on each connection) of a server that is not presage's; `answer` gives its frames."""
    received: list[list[dict]] = []

    def converse(connection: ServerConnection) -> None:
        mine: list[dict] = []
        received.append(mine)
        connection.send(metadata)
        for message in connection:
            mine.append(unpack(message))
            connection.send(answer(mine[-1]))

    with serve(converse, "127.0.0.1", 0, compression=None) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}", received
        server.shutdown()


def ones(message: dict) -> bytes:
    return pack({"actions": np.ones((4, 4))})


def test_a_remote_policy_acts_as_the_local_one_does() -> None:
    model = tiny_model()
    local = make_policy("joint", model)
    with serving(lambda: PolicyServer(lambda: make_policy("joint", model), model, {})) as (server, address):
        remote = RemotePolicy(f"ws://{address}", 4, 4)
        for instruction in ("open the drawer", "reach"):
            remote.reset([instruction])
            local.reset([instruction])
            for step in range(4):
                observation = tiny_observation(1, seed=step)
                np.testing.assert_allclose(remote.act(observation), local.act(observation), atol=1e-4)
        remote.close()
        wait_until(lambda: server.metrics.sessions == 0)


def test_it_is_judged_in_the_simulator_and_in_the_dream() -> None:
    model, world = tiny_model(), FakeWorld(3)
    with foreign(ones) as (url, received):
        policy = RemotePolicy(url, 4, 4)
        judged = judge(policy, world, DreamWorld(model, world, threshold=2.0), ["a", "b", "c"], [1, 2, 3], max_steps=8)
        policy.close()
    assert judged.real_success == 1 and judged.imagined_success == 0  # +1 on every axis reaches the fake world's goal
    assert len(received) == 6  # a connection for every row of both worlds
    assert len(received[0]) == judged.real[0].steps and received[0][0]["prompt"] == "do a"


def test_a_server_of_another_robot_is_refused_where_it_says_so() -> None:
    with foreign(ones, pack({"robot": "so100"})) as (url, _):
        policy = RemotePolicy(url, 4, 4, robots={"sawyer"})
        policy.reset(["open the drawer"])
        with pytest.raises(UserError, match=r"serves robot 'so100', not sawyer; choose another server"):
            policy.act(tiny_observation(1))
        for robots in ({"sawyer", "so100"}, None):
            policy = RemotePolicy(url, 4, 4, robots=robots)
            policy.reset(["open the drawer"])
            assert policy.act(tiny_observation(1)).all()
            policy.close()


@pytest.mark.parametrize("robot", [["sawyer"], {"name": "sawyer"}, np.zeros(2), 3])
def test_a_robot_that_is_not_named_by_a_text_is_another_one(robot: object) -> None:
    with foreign(ones, pack({"robot": robot})) as (url, _):
        policy = RemotePolicy(url, 4, 4, robots={"sawyer"})
        policy.reset(["open the drawer"])
        with pytest.raises(UserError, match=r"serves robot .*, not sawyer; choose another server"):
            policy.act(tiny_observation(1))


def test_observations_are_called_what_the_server_calls_them() -> None:
    names = {"image.front": "observation/image", "state": "observation/state"}
    with foreign(ones) as (url, received):
        policy = RemotePolicy(url, 4, 4, names=names)
        policy.reset(["open the drawer"])
        policy.act(tiny_observation(1))
        policy.close()
    assert received[0][0].keys() == {"observation/image", "observation/state", "prompt"}
    assert received[0][0]["observation/image"].shape == (32, 32, 3)


def test_rows_that_have_finished_are_not_asked() -> None:
    with foreign(ones) as (url, received):
        policy = RemotePolicy(url, 4, 4)
        policy.reset(["a", "b"])
        chunks = policy.act({**tiny_observation(2), "active": np.array([False, True])})
        policy.close()
    assert not chunks[0].any() and chunks[1].all() and len(received) == 1


def test_long_answers_are_cut_to_the_chunk() -> None:
    def fifty(message: dict) -> bytes:
        return pack({"actions": np.arange(200.0).reshape(50, 4)})

    with foreign(fifty) as (url, _):
        policy = RemotePolicy(url, 4, 4)
        policy.reset(["a"])
        chunk = policy.act(tiny_observation(1))
        policy.close()
    assert np.array_equal(chunk[0], np.arange(16).reshape(4, 4)) and chunk.dtype == np.float32


def test_a_late_answer_is_never_taken_for_the_next_one() -> None:
    calls = []

    def late_once(message: dict) -> bytes:
        calls.append(len(calls))
        number = calls[-1]
        if number == 1:
            time.sleep(0.5)
        return pack({"actions": np.full((4, 4), number)})

    with foreign(late_once) as (url, received):
        policy = RemotePolicy(url, 4, 4, timeout=0.2)
        policy.reset(["a"])
        answers = [policy.act(tiny_observation(1, seed=seed))[0, 0, 0] for seed in range(3)]
        policy.close()
    assert answers == [0, 2, 3]  # 1 came late, on a connection that nobody reads any more
    assert [len(messages) for messages in received] == [2, 2]
    np.testing.assert_array_equal(received[1][0]["state"], received[0][1]["state"])  # asked again


TRACEBACK = (
    "Traceback (most recent call last):\n  File \"policy.py\", line 1, in infer\nKeyError: 'observation/image'\n"
)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (TRACEBACK, "KeyError: 'observation/image'"),
        ("the observation has no state\nmore", "has no state"),
        ("", "error"),
        (pack({"actions": np.zeros((4, 7))}), "(4, 7), the robot takes (4 or more, 4)"),
        (pack({"actions": np.zeros((3, 4))}), "(3, 4)"),
        (pack({"actions": np.zeros(4)}), "(4,)"),
        (pack({"actions": np.full((4, 4), np.nan)}), "not finite"),
        (pack({"actions": np.array(["a"])}), "no array 'actions'"),
        (pack({"action": np.zeros((4, 4))}), "no array 'actions'"),
        (pack([1]), "no array 'actions'"),
        (b"\xc1", "not a message"),
    ],
)
def test_answers_that_are_no_actions(answer, says) -> None:
    with foreign(lambda message: answer) as (url, _):
        policy = RemotePolicy(url, 4, 4)
        policy.reset(["a"])
        with pytest.raises(UserError) as error:
            policy.act(tiny_observation(1))
    assert says in str(error.value) and url in str(error.value) or says == "not a message"
    assert "\n" not in str(error.value) and not policy.connections


def test_a_server_that_never_answers_is_given_up() -> None:
    with foreign(lambda message: time.sleep(0.5) or b"\x80") as (url, received):
        policy = RemotePolicy(url, 4, 4, timeout=0.1)
        policy.reset(["a"])
        with pytest.raises(UserError, match="no answer in 0.1 s, twice"):
            policy.act(tiny_observation(1))
    assert len(received) == 2


@pytest.mark.parametrize("metadata", ["hello", b"\xc1", pack([1])])
def test_a_server_of_another_kind(metadata) -> None:
    with foreign(ones, metadata) as (url, _):
        policy = RemotePolicy(url, 4, 4)
        policy.reset(["a"])
        with pytest.raises(UserError, match="openpi"):
            policy.act(tiny_observation(1))


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1", "ws://", "http://127.0.0.1:1", "ws://127.0.0.1:port"])
def test_nobody_there(url) -> None:
    policy = RemotePolicy(url, 4, 4)
    policy.reset(["a"])
    with pytest.raises(UserError, match="presage serve"):
        policy.act(tiny_observation(1))


def test_a_wrong_key() -> None:
    model = tiny_model()
    with serving(lambda: PolicyServer(lambda: make_policy("joint", model), model, {}, key="right")) as (
        _,
        address,
    ):
        policy = RemotePolicy(f"ws://{address}", 4, 4, key="wrong")
        policy.reset(["a"])
        with pytest.raises(UserError, match="HTTP 401"):
            policy.act(tiny_observation(1))


def test_an_observation_that_is_not_there() -> None:
    policy = RemotePolicy("ws://127.0.0.1:1", 4, 4, names={"image.wrist": "observation/wrist_image"})
    policy.reset(["a"])
    with pytest.raises(UserError, match="no observation 'image.wrist' to send; choose from image.front"):
        policy.act(tiny_observation(1))
