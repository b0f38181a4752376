"""V-JEPA 2-AC as a debug twin: it trains, and plans towards a picture."""

import numpy as np
import pytest
import torch
from tests.recorded import moving_square

from presage.errors import UserError
from presage.networks.composed import Composed
from presage.policy.goal_cloning import cloned
from presage.policy.grounded import GroundedPolicy
from presage.simulator.planners import CEM, held, planned, uniform
from presage.simulator.scorers import goal_distance, led_to
from presage.systems.system import DEBUG
from presage.systems.vjepa2_ac import vjepa2_ac
from presage.timeline.session import Session
from presage.training.recorded import Recorded, shape_of
from presage.training.stage import train_stages

PLAY = moving_square(12)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Composed:
    torch.manual_seed(0)
    system = vjepa2_ac(shape_of(PLAY), DEBUG)
    return train_stages(
        system.build(shape_of(PLAY)), system.stages, {"labelled": PLAY}, tmp_path_factory.mktemp("run"), {}, quiet=True
    )


def seen(recorded: Recorded, rows: list[int]) -> dict[str, np.ndarray]:
    return {"image.front": recorded.frames["image.front"][rows], "state": recorded.state[rows]}


def test_it_plans_towards_a_picture_and_replans_after_every_row(model: Composed) -> None:
    chunk, dim = model.chunk_shape
    policy = GroundedPolicy(
        model, planned(CEM(8, 2, 2), uniform(2, dim), goal_distance("features"), held(chunk)), context=None
    )
    policy.reset(["anything", "whatever"])
    policy.aim(model.goal(seen(PLAY, [5, 13])))
    first = policy.act(seen(PLAY, [0, 8]))
    assert first.shape == (2, chunk, dim)
    np.testing.assert_allclose(first, np.repeat(first[:, :1], chunk, 1), atol=0.2)  # held, up to each action's scale
    policy.act(seen(PLAY, [1, 9]))
    assert policy.session.step == 1 and len(policy.session.blocks) == 2


def test_the_same_decision_whatever_is_said(model: Composed) -> None:
    """Nobody told it words in training, so none may matter."""
    said = [Session(model, [words]).condition.text for words in ("push the puck", "")]
    assert torch.equal(*said)


def test_cloning_is_aimed_by_the_same_goal(model: Composed) -> None:
    policy = GroundedPolicy(model, cloned())
    chunks = []
    for goal in (5, 60):
        policy.reset([""])
        policy.aim(model.goal(seen(PLAY, [goal])))
        chunks.append(policy.act(seen(PLAY, [0])))
    assert not np.allclose(*chunks)


def test_without_training_nothing_is_imagined_to_change(model: Composed) -> None:
    system = vjepa2_ac(shape_of(PLAY), DEBUG)
    fresh = system.build(shape_of(PLAY)).eval()
    for output in fresh.backbone.network.outputs.values():  # type: ignore[attr-defined]
        torch.nn.init.zeros_(output.bias)
    session = Session(fresh, [""])
    session.observe(seen(PLAY, [0]))
    values = led_to(session, torch.zeros(1, 1, 1, 4))
    torch.testing.assert_close(values["features"], session.last.values["features"])


def test_a_goal_is_a_picture_of_its_camera(model: Composed) -> None:
    with pytest.raises(UserError, match="a goal is a picture of image.front; got state"):
        model.goal({"state": PLAY.state[:1]})
