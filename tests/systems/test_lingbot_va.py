"""The debug twin of LingBot-VA trains, acts at every delay, and its check says what its arms say."""

import numpy as np
import pytest
import torch
from tests.recorded import batch_of, moving_square

from presage.networks.composed import Composed
from presage.systems.lab.check import Arm
from presage.systems.lab.delays import FORWARD_LIMITS, asynchrony, late
from presage.systems.lingbot_va import lingbot_va, objective
from presage.systems.system import DEBUG
from presage.training.recorded import Recorded, shape_of
from presage.training.stage import train_stages


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return moving_square(cameras=("image.front",))


@pytest.fixture(scope="module")
def model(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Composed:
    system = lingbot_va(shape_of(recorded), DEBUG)
    free = recorded.without_labels(range(6))
    folder = tmp_path_factory.mktemp("lingbot")
    return train_stages(
        system.build(shape_of(recorded)),
        system.stages,
        {"labelled": recorded, "free": free, "noise": recorded},
        folder,
        {},
        quiet=True,
    )


@pytest.mark.parametrize(("use", "imagined"), [("policy", 0), ("naive", 0), ("grounded", 1)])
def test_it_acts_in_each_use(model: Composed, recorded: Recorded, use: str, imagined: int) -> None:
    policy = lingbot_va(shape_of(recorded), DEBUG).uses[use](model, 0)
    policy.reset(["move", "move"])
    for row in range(3):
        seen = {"image.front": recorded.frames["image.front"][[row, row + 8]], "state": recorded.state[[row, row + 8]]}
        chunk = policy.act(seen)
        assert chunk.shape == (2, *model.chunk_shape) and np.isfinite(chunk).all()
    assert sum(b.imagined for b in policy.session.blocks) == imagined  # type: ignore[attr-defined]


def test_a_step_asks_for_video_or_the_action_or_video_after_an_action(model: Composed, recorded: Recorded) -> None:
    batch = batch_of(model, [recorded], (np.zeros(2, int), np.arange(8).reshape(2, 4), np.zeros((2, 4), bool)))
    asked: dict[frozenset[str], int] = {}
    for seed in range(60):
        terms = objective(noisy=False)(model, batch, torch.Generator().manual_seed(seed))
        counted = frozenset(name for name, term in terms.items() if term.weight.any())
        asked[counted] = asked.get(counted, 0) + 1
    assert asked.keys() == {frozenset({"action"}), frozenset({"image.front"})}
    assert 20 <= asked[frozenset({"action"})] <= 40


def arms_of(naive: float, grounded: float, misled: float, half: float = 0.6) -> dict[str, Arm]:
    def arm(name: str, share: float, **figures: float) -> Arm:
        return Arm(name, (tuple(float(i < 100 * share) for i in range(100)),), 1.0, 1, 1, 1, figures)

    shares = {"noisy, whole video": 0.8, "clean, half": half, "clean, whole video": 0.8}
    shares |= {
        late(name, n): x for n in (1, 2) for name, x in (("naive", naive), ("grounded", grounded), ("misled", misled))
    }
    forward = dict.fromkeys(FORWARD_LIMITS, 0.7)
    return {name: arm(name, x) for name, x in shares.items()} | {"synchronous": arm("synchronous", 0.8, **forward)}


def test_the_claim_is_shown_where_only_the_running_action_helps() -> None:
    shown = asynchrony(arms_of(naive=0.4, grounded=0.78, misled=0.4))
    assert shown is not None and shown.outcome == "shown"
    assert asynchrony({"synchronous": arms_of(0, 0, 0)["synchronous"]}) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"naive": 0.7}, "naive / synchronous"),
        ({"grounded": 0.6}, "grounded / synchronous"),
        ({"misled": 0.76}, "misled"),
        ({"half": 0.79}, "stopping costs, clean"),
    ],
)
def test_the_claim_is_not_shown_where_a_control_does_as_well(changed: dict[str, float], reason: str) -> None:
    found = asynchrony(arms_of(**({"naive": 0.4, "grounded": 0.78, "misled": 0.4} | changed)))
    assert found is not None and found.outcome != "shown" and reason in found.reason
