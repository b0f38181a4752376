"""The policy server, spoken to over real sockets in openpi's terms."""

import asyncio
import subprocess
import sys
import urllib.error

import numpy as np
import pytest
from tests.servers import SlowPolicy, ask, ask_at_once, get, greeted, serving, told, wait_until
from tests.tiny import tiny_model, tiny_observation
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from presage.errors import UserError
from presage.policy import make_policy
from presage.serving.server import PolicyServer
from presage.serving.wire import pack, unpack


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def running(model):
    with serving(lambda: PolicyServer(lambda: make_policy("joint", model), model, {"use": "joint"})) as server:
        yield server


@pytest.fixture(scope="module")
def address(running) -> str:
    return running[1]


def row(seed: int = 0, prompt: str = "open the drawer", **more: object) -> dict[str, object]:
    """A request: one observation without a batch axis."""
    return {**{name: x[0] for name, x in tiny_observation(1, seed=seed).items()}, "prompt": prompt, **more}


def ended(connection, frame: bytes | str) -> str:
    """The error that a frame is answered with, after which the connection is closed."""
    answer = told(connection, frame)
    with pytest.raises(ConnectionClosed):
        connection.recv(60)
    return answer


def lone(model, seeds, prompt="open the drawer") -> list[np.ndarray]:
    policy = make_policy("joint", model)
    policy.reset([prompt])
    return [policy.act(tiny_observation(1, seed=seed))[0] for seed in seeds]


# -- the protocol -----------------------------------------------------------------------------------------------------


def test_metadata_comes_first_and_describes_the_model(address) -> None:
    with connect(f"ws://{address}", compression=None) as connection:
        metadata = unpack(connection.recv(10))
    assert metadata == {
        "cameras": ["front", "top"],
        "image_size": 32,
        "chunk": 4,
        "action_dim": 4,
        "state_dim": 4,
        "fps": 5.0,
        "use": "joint",
    }


def test_a_connection_is_an_episode_and_answers_as_the_policy_does(model, address) -> None:
    with greeted(address) as connection:
        answers = [ask(connection, row(seed)) for seed in range(5)]
    for answer, expected in zip(answers, lone(model, range(5)), strict=True):
        np.testing.assert_allclose(answer["actions"], expected, atol=1e-4)
        assert answer["actions"].dtype == np.float32 and answer["server_timing"]["infer_ms"] > 0
    assert "prev_total_ms" in answers[1]["server_timing"] and "sequence" not in answers[1]


@pytest.mark.parametrize("begin", ["reset", "prompt", "connection"])
def test_an_episode_begins_with_reset_with_another_prompt_or_a_new_connection(model, address, begin) -> None:
    with greeted(address) as connection:
        ask(connection, row(0, prompt="close the window" if begin == "prompt" else "open the drawer"))
        if begin == "connection":
            with greeted(address) as other:
                answer = ask(other, row(1))
        else:
            answer = ask(connection, row(1, reset=begin == "reset"))
    np.testing.assert_allclose(answer["actions"], lone(model, [1])[0], atol=1e-4)


def test_a_sequence_number_comes_back(address) -> None:
    with greeted(address) as connection:
        assert [ask(connection, row(i, sequence=n))["sequence"] for i, n in enumerate([7, 0, -1])] == [7, 0, -1]


@pytest.mark.parametrize(
    "name",
    ["image.{}", "image/{}", "observation/image.{}", "observation/image/{}", "observation.images.{}"],
)
def test_names_with_slashes_dots_and_plurals(model, address, name) -> None:
    message = row()
    renamed = {name.format(c): message[f"image.{c}"] for c in ("front", "top")}
    with greeted(address) as connection:
        answer = ask(
            connection, {**renamed, "observation/state": message["state"].tolist(), "prompt": "open the drawer"}
        )
        np.testing.assert_allclose(answer["actions"], lone(model, [0])[0], atol=1e-4)


def test_nested_names(model, address) -> None:
    message = row()
    images = {c: message[f"image.{c}"] for c in ("front", "top")}
    with greeted(address) as connection:
        nested = {"observation": {"image": images, "state": message["state"]}, "prompt": "open the drawer", "extra": 1}
        np.testing.assert_allclose(ask(connection, nested)["actions"], lone(model, [0])[0], atol=1e-4)


# -- what is refused --------------------------------------------------------------------------------------------------


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in row().items() if key != name}


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (
            without("image.top"),
            "has no image.top; expected: image.front (32, 32, 3) uint8, or float in 0..1, image.top",
        ),
        (without("state"), "state (4,) numbers"),
        (without("prompt"), "has no prompt"),
        (row(**{"image.top": np.zeros((16, 16, 3), np.uint8)}), "image.top is (16, 16, 3) uint8"),
        (row(**{"image.top": np.full((32, 32, 3), -1, np.float32)}), "float32"),
        (row(**{"image.top": [1, 2]}), "image.top is list"),
        (row(state=np.zeros(5)), "state is (5,)"),
        (row(state=[1, [2], 3, 4]), "state is list"),
        (row(state=["a"] * 4), "state is list"),
        (row(state=[1.0, 2.0, np.nan, 0.0]), "not finite"),
        (row(state=[1e300, 2.0, 0.0, 0.0]), "not finite"),
        (row(prompt=" "), "prompt"),
        (row(prompt=3), "prompt"),
        (row(reset="yes"), "reset is str"),
        (row(sequence="a"), "sequence is str"),
        ([1, 2], "not list"),
        ({"a": {"b": {"c": {"d": {"e": {"f": {}}}}}}}, "nested deeper"),
    ],
)
def test_a_request_that_does_not_fit_is_explained_and_may_be_sent_again(address, message, says) -> None:
    with greeted(address) as connection:
        assert says in told(connection, pack(message))
        assert ask(connection, row())["actions"].shape == (4, 4)


def test_what_is_refused_leaves_the_episode_as_it_was(model, address) -> None:
    glitch = pack(row(9, state=[0.0, np.nan, 0.0, 0.0]))
    with greeted(address) as connection:
        answers = [ask(connection, row(seed)) for seed in range(3) if told(connection, glitch)]
    for answer, expected in zip(answers, lone(model, range(3)), strict=True):
        np.testing.assert_allclose(answer["actions"], expected, atol=1e-4)


@pytest.mark.parametrize("wrong", [{"state": [0.0]}, {"image.top": None}, {"prompt": 3}])
def test_a_beginning_that_was_refused_for_something_else_is_still_due(model, address, wrong) -> None:
    with greeted(address) as connection:
        ask(connection, row(0))
        told(connection, pack(row(1, reset=True, **wrong)))
        np.testing.assert_allclose(ask(connection, row(1))["actions"], lone(model, [1])[0], atol=1e-4)
        np.testing.assert_allclose(ask(connection, row(2))["actions"], lone(model, [1, 2])[1], atol=1e-4)


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x91" * 100_000, pack(row())[:-9], "text", pack(row()).hex()])
def test_a_frame_that_is_no_message_is_one_line(address, frame) -> None:
    with greeted(address) as connection:
        told(connection, frame)
        ask(connection, row())


def test_a_message_over_the_limit_ends_its_connection_only(address) -> None:
    with greeted(address) as bystander, greeted(address) as connection:
        ask(bystander, row())
        connection.send(bytes(2**21))
        with pytest.raises(ConnectionClosed, match="1009"):
            connection.recv(60)
        ask(bystander, row(1))


def test_an_error_of_one_robot_is_not_another_ones(model, address) -> None:
    with greeted(address) as good:
        answers = [ask(good, row(0))]
        for seed in range(1, 5):
            with greeted(address) as bad:
                told(bad, pack(row(state=np.zeros(9))))
            answers.append(ask(good, row(seed)))
    for answer, expected in zip(answers, lone(model, range(5)), strict=True):
        np.testing.assert_allclose(answer["actions"], expected, atol=1e-4)


def test_web_pages_are_not_let_in(address) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://{address}", origin="http://example.com")


def test_a_key_is_asked_for_where_there_is_one(model) -> None:
    make = lambda: PolicyServer(lambda: make_policy("joint", model), model, {}, key="secret")  # noqa: E731
    with serving(make) as (_, address):
        for key in (None, "", "secre", "secret2", "sécret"):
            with pytest.raises(InvalidStatus, match="401"):
                greeted(address, key)
        with greeted(address, "secret") as connection:
            ask(connection, row())
        assert get(address, "/healthz") == "OK\n"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(address, "/metrics")
        assert "presage_requests_total 1" in get(address, "/metrics", {"Authorization": "Api-Key secret"})


# -- many at a time ---------------------------------------------------------------------------------------------------


def test_robots_that_ask_at_once_do_not_hear_each_others_answers(model, running) -> None:
    server, address = running
    count, steps = 6, 8
    answers = ask_at_once(server, address, count, steps, row)
    for i in range(count):
        expected = lone(model, range(100 * i, 100 * i + steps), f"task {i}")
        np.testing.assert_allclose(answers[i], expected, atol=1e-4)


def slow_server(policy: SlowPolicy, **settings: object):
    return serving(lambda: PolicyServer(lambda: policy, tiny_model(), {}, **settings))


def test_a_slow_policy_does_not_block_health() -> None:
    policy = SlowPolicy(1.0)
    with slow_server(policy) as (_, address), greeted(address) as connection:
        connection.send(pack(row()))
        assert policy.acting.wait(10)
        assert get(address, "/healthz") == "OK\n"
        with pytest.raises(TimeoutError):
            connection.recv(0)  # still computing
        assert unpack(connection.recv(10))["actions"].shape == (4, 4)


def test_a_request_that_waited_too_long_is_not_computed() -> None:
    policy = SlowPolicy(0.6)
    with slow_server(policy, deadline=0.2) as (_, address), greeted(address) as first, greeted(address) as second:
        first.send(pack(row()))
        assert policy.acting.wait(10)
        assert "deadline of 0.2 s" in told(second, pack(row()))
        assert isinstance(first.recv(10), bytes)
        assert ask(second, row())["actions"][0, 0] == 1  # its beginning was still due; both have this policy
        assert 'presage_errors_total{kind="deadline"} 1' in get(address, "/metrics")


def test_a_request_before_the_answer_is_refused() -> None:
    with slow_server(SlowPolicy(0.5)) as (_, address), greeted(address) as connection:
        connection.send(pack(row()))
        assert "before the answer" in ended(connection, pack(row(1)))


def test_a_server_whose_inference_was_cancelled_ends_with_an_error() -> None:
    server = PolicyServer(lambda: SlowPolicy(0.0), tiny_model(), {})

    def ready(port: int) -> None:
        assert server.worker is not None and server.worker.cancel()

    with pytest.raises(UserError, match=r"inference has stopped \(cancelled\): the server ends"):
        asyncio.run(server.run("127.0.0.1", 0, ready))


def test_a_full_server_turns_away() -> None:
    with slow_server(SlowPolicy(0.0), sessions=1) as (server, address):
        with greeted(address):
            with pytest.raises(InvalidStatus, match="503"):
                greeted(address)
        wait_until(lambda: server.metrics.sessions == 0)
        greeted(address).close()


def test_a_killed_client_frees_its_session(running) -> None:
    server, address = running
    code = (
        "import sys; from websockets.sync.client import connect; c = connect(sys.argv[1]).__enter__(); c.recv()\n"
        "print('open', flush=True); c.recv()"
    )
    client = subprocess.Popen([sys.executable, "-c", code, f"ws://{address}"], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None and client.stdout.readline() == "open\n"
    assert server.metrics.sessions == 1
    client.kill()
    client.wait()
    wait_until(lambda: server.metrics.sessions == 0)
