"""VPP's debug twin, and that its controls are what they say."""

from pathlib import Path

import numpy as np
import torch
from tests.recorded import ACTIONS, CHUNK, moving_square

from presage.systems.lab.probes import Pairs
from presage.systems.lab.readings import moves, redrawn
from presage.systems.system import DEBUG
from presage.systems.vpp import FRAMES, ONE_STEP, vpp
from presage.training.recorded import joined, shape_of
from presage.training.stage import train_stages


def test_a_debug_twin_trains_and_acts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recorded = moving_square(episodes=8)
    shape = shape_of(recorded)
    system = vpp(shape, DEBUG)
    model = system.build(shape)
    data = {"labelled": recorded, "free": recorded.without_labels(range(8))}
    train_stages(model, system.stages[:2], data, tmp_path, {}, quiet=True)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    train_stages(model, system.stages, data, tmp_path, {}, only="head", quiet=True)
    moved = {name.split(".")[0] for name, x in model.state_dict().items() if not torch.equal(x, before[name])}
    assert moved == {"parts"}  # the head's gradient stops at the tap
    policy = system.uses["policy"](model, 0)
    policy.reset(["move", "move"])
    seen = {"image.front": recorded.frames["image.front"][[0, 8]], "state": recorded.state[[0, 8]]}
    chunk = policy.act(seen)
    assert chunk.shape == (2, CHUNK, ACTIONS) and np.isfinite(chunk).all()


def test_what_is_read_is_kept_with_several_draws_of_noise() -> None:
    torch.manual_seed(0)
    recorded = moving_square(episodes=2)
    shape = shape_of(recorded)
    system = vpp(shape, DEBUG)
    model = redrawn(system.build(shape))
    kept = system.stages[-1].make["read"](model, {"labelled": recorded})
    draws = len(kept.action) // len(recorded.action)
    assert draws > 1 and len(joined([recorded] * draws).length) == len(kept.length)
    features = kept.latents["features"][:].reshape(draws, len(recorded.action), -1)
    assert features.shape[2] == FRAMES * model.streams[1].tokens * 4 * DEBUG.channels
    assert not np.allclose(features[0], features[1])


def test_a_redrawn_network_sees_the_frame_and_a_fresh_one_hardly_does() -> None:
    torch.manual_seed(0)
    recorded = moving_square(episodes=6)
    shape = shape_of(recorded)
    pairs = Pairs.of(recorded, 24)
    frame, _ = moves(redrawn(vpp(shape, DEBUG).build(shape)), pairs, ONE_STEP)
    assert frame > 0.1
