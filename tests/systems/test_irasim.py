"""IRASim's debug twin: it trains and acts; in its clips each action changes its own frame."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.recorded import ACTIONS, CHUNK, moving_square

from presage.systems.fit import with_what_there_is
from presage.systems.irasim import AHEAD, clips, irasim
from presage.systems.system import DEBUG
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.training.recorded import shape_of
from presage.training.stage import train_stages

RECORDED = moving_square(episodes=8)
SHAPE = shape_of(RECORDED)


def test_a_debug_twin_trains_and_acts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    system = irasim(SHAPE, DEBUG)
    stages, _ = with_what_there_is(system.stages, {"labelled": RECORDED})
    model = train_stages(system.build(SHAPE), stages, {"labelled": RECORDED}, tmp_path, {}, quiet=True)
    seen = {"image.front": RECORDED.frames["image.front"][[0, 8]], "state": RECORDED.state[[0, 8]]}
    for name, use in system.uses.items():
        policy = use(model, 0)
        policy.reset(["move", "move"])
        chunk = policy.act(seen)
        assert chunk.shape == (2, CHUNK, ACTIONS) and np.isfinite(chunk).all(), name


def test_an_action_modulates_its_own_frame_of_a_clip_or_all_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESAGE_FP32", "1")
    shown = {}
    for by_frame in (True, False):
        torch.manual_seed(0)
        model = clips(SHAPE, DEBUG, by_frame).build(SHAPE).eval()
        for p in model.network.parameters():
            torch.nn.init.normal_(p, std=0.1)
        for layer in model.network.layers:  # without attention a frame knows the others' actions by modulation alone
            torch.nn.init.zeros_(layer.out.weight)
            torch.nn.init.zeros_(layer.out.bias)
        session = Session(model, ["move"]).without_noise()
        session.observe({"image.front": RECORDED.frames["image.front"][:1]})
        for last in (0.0, 1.0):
            done = torch.zeros(1, AHEAD, CHUNK, ACTIONS)
            done[:, -1] = last
            answer = session.imagine(Schedule.forward(1), {"action": done}, length=AHEAD)
            shown[by_frame, last] = answer.values["image.front"][0]
    for by_frame in (True, False):
        changed = (shown[by_frame, 0.0] - shown[by_frame, 1.0]).abs().amax((1, 2)) > 1e-6
        assert changed.tolist() == [not by_frame] * (AHEAD - 1) + [True]
    assert not torch.allclose(shown[False, 0.0][0], shown[False, 0.0][1])  # a frame still knows which it is
