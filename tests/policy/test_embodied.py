"""A model's policy in the terms of one of its robots."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.embodied import ARM, HAND, by_hand, save_robots, shared_model, sight
from tests.tiny import tiny_model

from presage.errors import UserError
from presage.policy import make_policy
from presage.policy.embodied import EmbodiedPolicy, choose_robot
from presage.training.checkpoint import save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_robots(tmp_path_factory.mktemp("embodied") / "model", [ARM, HAND])


@pytest.mark.parametrize("robot", [ARM, HAND], ids=["arm", "hand"])
def test_a_robot_gets_what_follows_by_hand(folder, robot) -> None:
    model = shared_model()
    policy = EmbodiedPolicy(make_policy("joint", model), choose_robot(folder, robot.name))
    policy.reset(["lift"])
    chunks = [policy.act({name: x[None] for name, x in sight(robot, seed).items()}) for seed in range(2)]
    assert chunks[0].shape == (1, 4, 3) and chunks[0].dtype == np.float32
    np.testing.assert_allclose(np.concatenate(chunks), by_hand(model, robot, range(2), "lift"), atol=1e-5)


@pytest.mark.parametrize("robot", [ARM, HAND], ids=["arm", "hand"])
def test_rows_of_a_batch_are_seen_and_commanded_each_alone(folder, robot) -> None:
    body = choose_robot(folder, robot.name)
    rows = [sight(robot, seed) for seed in range(3)]
    together = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    chunk = np.random.default_rng(0).normal(size=(3, 4, 4)).astype(np.float32)
    seen, commands = body.see(together | {"active": np.ones(3, bool)}), body.command(chunk, together)
    assert seen.pop("active").all()
    for i, row in enumerate(rows):
        alone = {name: x[None] for name, x in row.items()}
        for name, value in body.see(alone).items():
            np.testing.assert_array_equal(seen[name][i], value[0])
        np.testing.assert_array_equal(commands[i], body.command(chunk[i : i + 1], alone)[0])


def test_numbers_that_a_robot_has_not_are_0_to_the_model(folder) -> None:
    seen = choose_robot(folder, "arm").see({name: x[None] for name, x in sight(ARM).items()})
    token = shared_model().encode_state(seen["state"])[0, 0].numpy()
    assert list(token[2:]) == [0.0, 0.0]
    np.testing.assert_allclose(token[:2], (sight(ARM)["state"] - [1.0, -2.0]) / [0.5, 1.0], rtol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (8, 4096), (4096, 9), (33, 64)])
@pytest.mark.parametrize("robot", [ARM, HAND], ids=["crop", "letterbox"])
def test_pictures_of_any_size_are_seen(folder, robot, shape) -> None:
    observation = {name: x[None] for name, x in sight(robot).items()}
    body = choose_robot(folder, robot.name)
    observation |= {f"image.{camera}": np.full((1, *shape, 3), 200, np.uint8) for camera in body.cameras}
    seen = body.see(observation)
    assert seen["image.front"].shape == seen["image.top"].shape == (1, 32, 32, 3)
    assert abs(int(seen["image.top"].max()) - 200) < 3  # a letterboxed line is one pixel high


@pytest.mark.parametrize("state", [None, np.zeros((1, 3)), np.zeros(2)])
def test_a_state_that_does_not_fit_is_one_line(folder, state) -> None:
    observation = {name: x[None] for name, x in sight(ARM).items() if name != "state"}
    with pytest.raises(UserError, match="'arm' has a state of 2 numbers: lift, turn"):
        choose_robot(folder, "arm").see(observation | ({} if state is None else {"state": state}))


def test_robots_of_one_name_are_told_apart(tmp_path) -> None:
    folder = save_robots(tmp_path / "model", [ARM, replace(HAND, name="arm")])
    assert choose_robot(folder, "arm").robot == ARM and choose_robot(folder, "arm-2").cameras == ["front", "top"]
    with pytest.raises(UserError, match="choose one with --robot, from arm, arm-2"):
        choose_robot(folder)


def test_a_checkpoint_of_chunked_rows_speaks_the_models_terms(tmp_path) -> None:
    folder = save_model(tiny_model(), tmp_path / "model", "a random model")
    assert choose_robot(folder) is None and choose_robot(folder, "sawyer") is None
    with pytest.raises(UserError, match="--robot arm: .* choose from sawyer"):
        choose_robot(folder, "arm")


def test_what_cannot_act_or_is_damaged_is_one_line(tmp_path) -> None:
    folder = save_robots(tmp_path / "model", [replace(ARM, action=[], relative=[])])
    with pytest.raises(UserError, match="without actions of robot 'arm'"):
        choose_robot(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "slots": {"action": {}}}))
    with pytest.raises(UserError, match="does not fit; retrain"):
        choose_robot(folder)
