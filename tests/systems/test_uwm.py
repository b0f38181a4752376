"""UWM's debug twin: it trains on labels and free video, and each of its uses is a schedule."""

from pathlib import Path

import numpy as np
import torch
from tests.recorded import batch_of, moving_square

from presage.networks.composed import Composed
from presage.systems.lab.probes import Pairs, imagine, truth
from presage.systems.system import DEBUG
from presage.systems.uwm import JOINT, LIMITS, modes, uwm
from presage.timeline.levels import Schedule
from presage.training.recorded import Recorded, shape_of
from presage.training.stage import train_stages


def data() -> dict[str, Recorded]:
    return {"labelled": moving_square(), "free": moving_square(seed=1).without_labels(range(6))}


def test_it_trains_and_acts(tmp_path: Path) -> None:
    system, kinds = uwm(shape_of(data()["labelled"]), DEBUG), data()
    model = train_stages(system.build(shape_of(kinds["labelled"])), system.stages, kinds, tmp_path, {}, quiet=True)
    observation = {"image.front": kinds["labelled"].frames["image.front"][:3], "state": np.zeros((3, 2), np.float32)}
    for name in ("policy", "joint"):
        policy = system.uses[name](model, 0)
        policy.reset(["move"] * 3)
        chunk = policy.act(observation)
        assert chunk.shape == (3, 2, 2) and np.isfinite(chunk).all()
    assert list(modes(model, Pairs.of(kinds["labelled"], 6))) == list(LIMITS)


def test_each_use_is_one_network_at_other_levels() -> None:
    recorded = data()["labelled"]
    model, pairs = uwm(shape_of(recorded), DEBUG).build(shape_of(recorded)).eval(), Pairs.of(recorded, 4)
    true = truth(model, pairs, ["action", "image.front"])
    done, seen = {"action": true["action"]}, {"image.front": true["image.front"]}
    policy, video = (imagine(model, pairs, schedule(2)) for schedule in (Schedule.marginal, Schedule.video))
    forward, inverse = (
        imagine(model, pairs, Schedule.forward(2), done),
        imagine(model, pairs, Schedule.inverse(2), seen),
    )
    assert torch.equal(forward["action"], true["action"]) and torch.equal(inverse["image.front"], true["image.front"])
    # What is pinned stays the noise that it was: the same seed draws the same.
    assert not torch.equal(policy["action"], video["action"])
    assert not torch.equal(policy["image.front"], video["image.front"])


def test_what_a_use_gives_or_pins_is_drawn_at_exactly_that_level() -> None:
    shape = shape_of(data()["labelled"])
    assert JOINT.levels is not None
    levels = JOINT.levels.draw(uwm(shape, DEBUG).build(shape).streams, 300, 1, torch.Generator().manual_seed(0))
    sees, acts = levels["image.front"], levels["action"]
    assert not ((sees == 0) & (acts == 0)).any()
    shares = [float(x.float().mean()) for x in (sees == 0, acts == 0, sees == 1)]
    np.testing.assert_allclose(shares, [1 / 6, 1 / 6, 1 / 3 + 0.05], atol=0.06)


def test_unknown_actions_are_noise_that_is_not_scored() -> None:
    kinds = data()
    model = uwm(shape_of(kinds["labelled"]), DEBUG).build(shape_of(kinds["labelled"]))
    rows, inside = np.array([[0, 1], [8, 9]]), np.zeros((2, 2), bool)

    def terms(recorded: Recorded, model: Composed = model) -> dict[str, float]:
        batch = batch_of(model, [recorded], (np.zeros(2, int), rows, inside))
        found = JOINT(model, batch, torch.Generator().manual_seed(0))
        return {name: term.weight.sum().item() for name, term in found.items()}

    assert terms(kinds["labelled"])["action"] > 0
    assert terms(kinds["free"]) == {"action": 0, "image.front": 2}
