"""mimic-video's debug twin: the video model stands still while its decoder learns, and acts at any level."""

from pathlib import Path

import numpy as np
import torch
from tests.recorded import ACTIONS, CHUNK, moving_square

from presage.policy.features import told
from presage.systems.lab.early import LEVELS, coming
from presage.systems.lab.probes import Pairs, session_of
from presage.systems.mimic_video import FRAMES, PAST, imagined, looking, mimic_video, of_codec, random, tap_of
from presage.systems.system import DEBUG
from presage.training.recorded import shape_of
from presage.training.stage import train_stages

RECORDED = moving_square(episodes=6, rows=12)
DATA = {"labelled": RECORDED, "free": moving_square(episodes=6, rows=12, seed=1).without_labels(range(6))}


def test_a_debug_twin_trains_and_acts_at_every_level(tmp_path: Path) -> None:
    torch.manual_seed(0)
    system = mimic_video(shape_of(RECORDED), DEBUG)
    *video, _ = system.stages
    assert [s.name for s in system.stages] == ["codec", "video", "adapt", "decode"]
    model = train_stages(system.build(shape_of(RECORDED)), video, DATA, tmp_path, {}, quiet=True)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    train_stages(model, system.stages, DATA, tmp_path, {}, only="decode", quiet=True)
    moved = {name.split(".")[0] for name, x in model.state_dict().items() if not torch.equal(x, before[name])}
    assert moved == {"parts"}
    for level in LEVELS:
        policy = looking(imagined(DEBUG, level))(model, 0)
        policy.reset(["move", "move"])
        for rows in ([0, 12], [1, 13]):
            seen = {"image.front": RECORDED.frames["image.front"][rows], "state": RECORDED.state[rows]}
            chunk = policy.act(seen)
            assert chunk.shape == (2, CHUNK, ACTIONS) and np.isfinite(chunk).all()


def test_nothing_of_a_future_is_left_at_level_1_and_all_of_it_at_0() -> None:
    torch.manual_seed(0)
    model = random(shape_of(RECORDED), DEBUG).build(shape_of(RECORDED)).eval()
    pairs = Pairs.of(RECORDED, 4)
    frames = RECORDED.frames["image.front"][: 2 * 4 * FRAMES].reshape(2, 4, FRAMES, 16, 16, 3)
    clips = [coming(model, {"image.front": x}) for x in frames]
    for level, same in ((1.0, True), (0.0, False)):
        first, other = (told(session_of(model, pairs), clip, level, tap_of(DEBUG)) for clip in clips)
        assert torch.allclose(first, other, atol=1e-5) == same and (first[..., -1] == level).all()
    read = told(session_of(model, pairs), clips[0], 1.0, tap_of(DEBUG))
    torch.testing.assert_close(imagined(DEBUG)(session_of(model, pairs)), read)  # the same noise, nothing walked


def test_controls_have_no_video_stage_and_windows_hold_all_that_a_session_sees() -> None:
    shape = shape_of(RECORDED)
    assert [s.name for s in random(shape, DEBUG).stages] == ["codec", "decode"]
    assert [s.name for s in of_codec(shape, DEBUG).stages] == ["codec", "clone"]
    assert {s.window for s in mimic_video(shape, DEBUG).stages[1:]} == {PAST + FRAMES}
