"""GPC's debug twin: it trains, ranks and improves proposals, and its check runs."""

from pathlib import Path

import numpy as np
import torch
from tests.recorded import ACTIONS, CHUNK, moving_square

from presage.systems.gpc import AHEAD, REWARD, gpc
from presage.systems.system import DEBUG
from presage.timeline.session import Session
from presage.training.recorded import shape_of
from presage.training.stage import train_stages


def test_a_debug_twin_trains_and_acts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recorded = moving_square(episodes=8)
    shape = shape_of(recorded)
    system = gpc(shape, DEBUG, {"labelled": 1.0})
    stages = tuple(
        s if s.name != "codec" else system.with_stage("codec", data={"labelled": 1.0}).stages[0] for s in system.stages
    )
    model = train_stages(system.build(shape), stages, {"labelled": recorded}, tmp_path, {}, quiet=True)
    seen = {"image.front": recorded.frames["image.front"][[0, 8]], "state": recorded.state[[0, 8]]}
    for name, use in system.uses.items():
        policy = use(model, 0)
        policy.reset(["move", "move"])
        chunks = [policy.act(seen) for _ in range(2)]
        assert chunks[0].shape == (2, CHUNK, ACTIONS) and np.isfinite(chunks).all(), name


def test_a_gradient_finds_the_same_future_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recorded = moving_square(episodes=2)
    shape = shape_of(recorded)
    model = gpc(shape, DEBUG).build(shape).eval()
    for p in model.network.parameters():
        torch.nn.init.normal_(p, std=0.1)
    session = Session(model, ["move"])
    session.observe({"image.front": recorded.frames["image.front"][:1]})
    candidates = torch.zeros(1, 1, AHEAD, CHUNK * ACTIONS)
    assert torch.equal(REWARD(session, candidates), REWARD(session, candidates))
    assert not torch.equal(REWARD(session, candidates), REWARD(session, candidates + 0.5))
