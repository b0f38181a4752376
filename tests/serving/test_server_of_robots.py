"""The policy server in the terms of a robot that a model was trained on."""

from dataclasses import replace

import numpy as np
import pytest
from tests.embodied import ARM, HAND, SLOTS, by_hand, save_robots, shared_model, sight
from tests.servers import ask, ask_at_once, greeted, serving, told
from websockets.sync.client import connect

from presage.episodes.robot import Robot
from presage.policy import make_policy
from presage.policy.embodied import Embodiment, choose_robot
from presage.serving.server import PolicyServer
from presage.serving.wire import pack, unpack


@pytest.fixture(scope="module")
def shared():
    return shared_model()


@pytest.fixture(scope="module", params=[ARM, HAND], ids=["arm", "hand"])
def embodied(shared, request, tmp_path_factory):
    """(robot, server, address), of one model that both robots share."""
    folder = save_robots(tmp_path_factory.mktemp("robots") / "model", [ARM, HAND])
    body = choose_robot(folder, request.param.name)
    make = lambda: PolicyServer(lambda: make_policy("joint", shared), shared, {}, deadline=60, body=body)  # noqa: E731
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
    make = lambda: PolicyServer(lambda: make_policy("joint", shared), shared, {}, deadline=60, body=body)  # noqa: E731
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
