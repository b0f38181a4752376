"""The policy server, spoken to over real sockets in openpi's terms."""

import asyncio
import subprocess
import sys
import threading
import urllib.error
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.embodied import ARM, HAND, SLOTS, by_hand, save_robots, shared_model, sight
from tests.servers import SlowPolicy, get, greeted, serving, wait_until
from tests.tiny import tiny_model, tiny_observation
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.policy import make_policy
from presage.policy.embodied import Embodiment, choose_robot
from presage.serving.server import PolicyServer
from presage.serving.wire import pack, unpack


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def running(model):
    with serving(lambda: PolicyServer(lambda: make_policy("joint", model), model.config, {"use": "joint"})) as server:
        yield server


@pytest.fixture(scope="module")
def address(running) -> str:
    return running[1]


def row(seed: int = 0, prompt: str = "open the drawer", **more: object) -> dict[str, object]:
    """A request: one observation without a batch axis."""
    return {**{name: x[0] for name, x in tiny_observation(1, seed=seed).items()}, "prompt": prompt, **more}


def ask(connection, message: object) -> dict:
    connection.send(pack(message))
    answer = connection.recv(60)
    assert isinstance(answer, bytes), answer
    return unpack(answer)


def ask_at_once(server, address, count: int, steps: int, request: Callable[..., dict]) -> dict[int, list[np.ndarray]]:
    """Chunks that `count` robots are answered who ask at the same time; robot i sends `request(seed, prompt)` of the
    seeds from 100 * i on. Some of them go through the model together."""
    answers: dict[int, list[np.ndarray]] = {}

    def act(i: int) -> None:
        with greeted(address) as connection:
            requests = [request(100 * i + t, f"task {i}") for t in range(steps)]
            answers[i] = [ask(connection, each)["actions"] for each in requests]

    threads = [threading.Thread(target=act, args=(i,)) for i in range(count)]
    before = server.metrics.batches.count
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.metrics.batches.count - before < count * steps  # some went together
    return answers


def told(connection, frame: bytes | str) -> str:
    """The error that a frame is answered with."""
    connection.send(frame)
    answer = connection.recv(60)
    assert isinstance(answer, str) and "\n" not in answer
    return answer


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
    make = lambda: PolicyServer(lambda: make_policy("joint", model), model.config, {}, key="secret")  # noqa: E731
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


# -- in the terms of a robot ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared():
    return shared_model()


@pytest.fixture(scope="module", params=[ARM, HAND], ids=["arm", "hand"])
def embodied(shared, request, tmp_path_factory):
    """(robot, server, address), of one model that both robots share."""
    folder = save_robots(tmp_path_factory.mktemp("robots") / "model", [ARM, HAND])
    body = choose_robot(folder, request.param.name)
    make = lambda: PolicyServer(lambda: make_policy("joint", shared), shared.config, {}, deadline=60, body=body)  # noqa: E731
    with serving(make) as running:
        yield request.param, *running


def test_metadata_describes_the_robot(embodied) -> None:
    robot, _, address = embodied
    with connect(f"ws://{address}", compression=None) as connection:
        metadata = unpack(connection.recv(10))
    names = {"arm": (["lift", "turn", "grip"], ["lift", "turn"], ["left", "right", "above"])}
    names["hand"] = (["thumb", "lift", "turn"], ["thumb", "index", "lift", "turn"], ["front", "top"])
    actions, states, cameras = names[robot.name]
    assert metadata == {
        "robot": robot.name,
        "cameras": cameras,
        "image_size": 32,
        "chunk": 4,
        "action_dim": 3,
        "action_names": actions,
        "state_dim": len(states),
        "state_names": states,
        "fps": 5.0,
        "picture_sizes": {},
    }


def test_a_robot_is_answered_what_follows_by_hand(shared, embodied) -> None:
    """Tiled cameras of other sizes, a slot that two robots share, and actions relative to the state."""
    robot, _, address = embodied
    with greeted(address) as connection:
        answers = [ask(connection, {**sight(robot, seed), "prompt": "lift it"})["actions"] for seed in range(4)]
    assert answers[0].dtype == np.float32
    np.testing.assert_allclose(answers, by_hand(shared, robot, range(4), "lift it"), atol=1e-4)


def test_robots_in_one_batch_are_answered_as_each_alone(shared, embodied) -> None:
    robot, server, address = embodied
    count, steps = 3, 6
    answers = ask_at_once(server, address, count, steps, lambda seed, prompt: {**sight(robot, seed), "prompt": prompt})
    for i in range(count):
        expected = by_hand(shared, robot, range(100 * i, 100 * i + steps), f"task {i}")
        np.testing.assert_allclose(answers[i], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            {"image.left": np.zeros((7, 60, 3), np.uint8)},
            "image.left is (7, 60, 3) uint8; expected: image.left (8 to 4096, 8",
        ),
        ({"image.left": np.zeros((8, 4097, 3), np.uint8)}, "image.left is (8, 4097, 3) uint8"),
        ({"image.left": np.zeros((40, 60), np.uint8)}, "image.left is (40, 60) uint8"),
        ({"image.left": np.full((40, 60, 3), 0.5 + 1, np.float32)}, "image.left is (40, 60, 3) float32"),
        ({"state": np.zeros(4)}, "state is (4,) float64; expected: image.left"),
        ({"state": [0.0, np.nan]}, "not finite"),
    ],
)
@pytest.mark.parametrize("embodied", [ARM], ids=["arm"], indirect=True)
def test_what_a_robot_sent_wrong_is_explained_in_its_terms(embodied, wrong, says) -> None:
    robot, _, address = embodied
    with greeted(address) as connection:
        assert says in told(connection, pack({**sight(robot), "prompt": "lift it", **wrong}))


@pytest.mark.parametrize("embodied", [ARM], ids=["arm"], indirect=True)
def test_a_large_picture_fits_and_a_missing_one_is_named(embodied) -> None:
    robot, server, address = embodied
    large = np.zeros((4096, 4096, 3), np.uint8)
    assert server.terms.message_limit > 3 * large.nbytes
    with greeted(address) as connection:
        ask(connection, {**sight(robot), "image.above": large, "prompt": "lift it"})
        rest = {name: x for name, x in sight(robot).items() if name != "image.right"}
        assert "the observation has no image.right" in told(connection, pack({**rest, "prompt": "lift it"}))


@pytest.fixture
def sized(shared):
    """(robot, address) of one that knows the size of its cameras' pictures, none of which is square."""
    robot = replace(ARM, recorded={"left": [40, 60], "right": [90, 30], "above": [32, 40]})
    body = Embodiment("arm", robot, SLOTS, 32, shared.state_codec.center)
    make = lambda: PolicyServer(lambda: make_policy("joint", shared), shared.config, {}, deadline=60, body=body)  # noqa: E731
    with serving(make) as (_, address):
        yield robot, address


def view(robot: Robot, seed: int = 0) -> dict[str, np.ndarray]:
    """One observation in the sizes that the robot recorded."""
    rng = np.random.default_rng(seed)
    images = {f"image.{c}": rng.integers(1, 256, (*size, 3), dtype=np.uint8) for c, size in robot.recorded.items()}
    return {**images, "state": rng.normal(size=2).astype(np.float32)}


def test_pictures_between_black_bars_are_answered_as_without_and_said_once(sized, caplog) -> None:
    robot, address = sized
    with greeted(address) as plain, greeted(address) as padded:
        for seed in range(2):
            seen = view(robot, seed)
            expected = ask(plain, {**seen, "prompt": "lift it"})["actions"]
            bars = {"image.left": ((10, 10), (0, 0), (0, 0)), "image.right": ((0, 0), (30, 30), (0, 0))}
            seen |= {name: np.pad(seen[name], bar).transpose(2, 0, 1) for name, bar in bars.items()}  # ALOHA's form
            np.testing.assert_allclose(ask(padded, {**seen, "prompt": "lift it"})["actions"], expected, atol=1e-4)
    said = [record.message for record in caplog.records if "black bars" in record.message]
    assert said == ["pictures of left, right come with black bars, which are cut off: training saw none"]


def test_pictures_of_other_proportions_are_refused_and_the_episode_goes_on(sized, caplog) -> None:
    robot, address = sized
    with greeted(address) as plain, greeted(address) as connection:
        for seed in range(2):
            seen = {**view(robot, seed), "prompt": "lift it"}
            says = told(connection, pack({**seen, "image.above": np.full((40, 40, 3), 9, np.uint8)}))
            assert (
                "camera 'above' are 40 x 40 (height x width), training saw 32 x 40: send them in those proportions"
                in says
            )
            np.testing.assert_allclose(ask(connection, seen)["actions"], ask(plain, seen)["actions"], atol=1e-4)
    assert not caplog.records


# -- many at a time ---------------------------------------------------------------------------------------------------


def test_robots_that_ask_at_once_do_not_hear_each_others_answers(model, running) -> None:
    server, address = running
    count, steps = 6, 8
    answers = ask_at_once(server, address, count, steps, row)
    for i in range(count):
        expected = lone(model, range(100 * i, 100 * i + steps), f"task {i}")
        np.testing.assert_allclose(answers[i], expected, atol=1e-4)


def slow_server(policy: SlowPolicy, **settings: object):
    return serving(lambda: PolicyServer(lambda: policy, tiny_model().config, {}, **settings))


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
    server = PolicyServer(lambda: SlowPolicy(0.0), tiny_model().config, {})

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
