"""DreamGen's debug twin: it dreams, labels and imitates, and its check runs; labels never see a state."""

import inspect

import numpy as np
import pytest
import torch
from tests.recorded import ACTIONS, CHUNK, moving_square

from presage.networks.composed import Composed
from presage.policy.dreamt import dreams, mislabelled, once, replays
from presage.policy.translators import ClipPlan
from presage.systems.dreamgen import dreamgen, plan_of
from presage.systems.fit import with_what_there_is
from presage.systems.system import DEBUG
from presage.systems.unipi import EVERY, KEYFRAMES
from presage.training.recorded import shape_of
from presage.training.stage import train_stages

RECORDED = moving_square(episodes=8)
SHAPE = shape_of(RECORDED)
DATA = {"labelled": RECORDED}
PLAN = plan_of(["image.front"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Composed:
    torch.manual_seed(0)
    system = dreamgen(SHAPE, DEBUG)
    stages, _ = with_what_there_is(system.stages, DATA)
    return train_stages(system.build(SHAPE), stages, DATA, tmp_path_factory.mktemp("run"), {}, quiet=True)


def test_a_debug_twin_dreams_trains_and_acts(model: Composed) -> None:
    policy = dreamgen(SHAPE, DEBUG).uses["policy"](model, 0)
    policy.reset(["move", "move"])
    seen = {"image.front": RECORDED.frames["image.front"][[0, 8]], "state": RECORDED.state[[0, 8]]}
    chunk = policy.act(seen)
    assert chunk.shape == (2, CHUNK, ACTIONS) and np.isfinite(chunk).all()


def test_dreams_are_keyframes_with_labels_and_without_a_state(model: Composed) -> None:
    made = dreams(PLAN, 5)(model, DATA)
    assert made.length.tolist() == [KEYFRAMES + 1] * 5 and np.isnan(made.state).all()
    assert made.labelled.reshape(5, -1).tolist() == [[True] * KEYFRAMES + [False]] * 5
    assert made.action[made.labelled].std() > 0 and made.frames["image.front"].dtype == np.uint8
    first = model.encode_pictures("image.front", RECORDED.frames["image.front"][[0, 8]]).half().numpy()
    np.testing.assert_allclose(made.latents["image.front"][[0, KEYFRAMES + 1]], first, atol=1e-2)


def test_no_label_follows_from_a_state() -> None:
    """Whoever knows states can invert kinematics, and no picture is needed: translators are not told any."""
    assert "state" not in inspect.signature(ClipPlan.translated).parameters
    assert all("state" not in source for source in PLAN.pictures)


def test_wrong_labels_are_those_of_other_dreams_and_nothing_else_differs(model: Composed) -> None:
    made = once(dreams(PLAN, 4))
    right, wrong = made(model, DATA), mislabelled(made)(model, DATA)
    assert right is made(model, {}) and np.array_equal(right.latents["image.front"], wrong.latents["image.front"])
    assert not np.array_equal(right.action, wrong.action)
    np.testing.assert_array_equal(np.sort(right.action.ravel()), np.sort(wrong.action.ravel()))


def test_replays_are_true_keyframes_coded_twice(model: Composed) -> None:
    made = replays(PLAN, 3)(model, DATA)
    assert len(made.length) == 3
    true = RECORDED.frames["image.front"][[0, EVERY, 7]]
    shown = made.frames["image.front"][[0, 1, KEYFRAMES]]
    assert np.abs(shown.astype(int) - true).mean() < np.abs(shown.astype(int) - 255).mean()
