"""UniPi's debug twin: trains, plans a clip and executes it blindly."""

from pathlib import Path

import numpy as np
import torch
from tests.recorded import ACTIONS, CHUNK, moving_square

from presage.policy.translators import ClipPlan
from presage.systems.lab.clips import other_words
from presage.systems.system import DEBUG
from presage.systems.unipi import EVERY, KEYFRAMES, cloning, plan_of, unipi
from presage.timeline.session import Session
from presage.training.recorded import shape_of
from presage.training.stage import train_stages


def test_a_debug_twin_trains_and_acts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recorded = moving_square(episodes=8)
    shape = shape_of(recorded)
    for system, use in ((unipi(shape, DEBUG), "open loop"), (cloning(shape, DEBUG), "policy")):
        model = train_stages(system.build(shape), system.stages, {"labelled": recorded}, tmp_path, {}, quiet=True)
        policy = system.uses[use](model, 0)
        policy.reset(["move", "move"])
        seen = {"image.front": recorded.frames["image.front"][[0, 8]], "state": recorded.state[[0, 8]]}
        chunk = policy.act(seen)
        assert chunk.shape == (2, CHUNK, ACTIONS) and np.isfinite(chunk).all()


def test_a_plan_has_a_chunk_for_every_row_of_its_clip() -> None:
    torch.manual_seed(0)
    recorded = moving_square()
    shape = shape_of(recorded)
    model = unipi(shape, DEBUG).build(shape).eval()
    session = Session(model, ["move"], context=0)
    session.observe({"image.front": recorded.frames["image.front"][:1], "state": recorded.state[:1]})
    plan: ClipPlan = plan_of(shape)
    frames = plan.frames(session)
    assert frames.shape[:2] == (1, 1 + KEYFRAMES)
    torch.testing.assert_close(frames[:, 0], session.last.values["image.front"])
    assert plan(session).shape == (KEYFRAMES * EVERY, 1, CHUNK, ACTIONS)


def test_other_words_ask_for_another_puck_and_another_mark() -> None:
    said = other_words("push the blue puck onto the left mark")
    assert "blue" not in said and "left" not in said and "puck" in said
