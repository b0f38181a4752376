"""Dreamed episodes as a dataset."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_model, tiny_observation

from presage.episodes.dataset import Dataset
from presage.episodes.spool import CALL
from presage.errors import UserError
from presage.networks.base import step
from presage.simulator.synthesis import Video, as_episode, dream, label, synthesize, unexplained
from presage.timeline.session import Session

STARTS = [("a", 1, "open the drawer"), ("b", 2, "reach the goal"), ("a", 3, "close the window")]


def test_a_dream_starts_with_the_real_frame_and_ends_after_success():
    first = tiny_observation(2)
    videos = dream(tiny_model(), first, ["a", "b"], threshold=2.0, max_steps=5)
    assert [v.steps for v in videos] == [5, 5]
    assert np.array_equal(videos[1].frames["top"][0], first["image.top"][1])
    short = dream(tiny_model(), first, ["a", "b"], threshold=-1.0, max_steps=9)
    assert [v.steps for v in short] == [3, 3]  # success at once, and two rows more


def test_labels_depend_on_the_video_alone():
    model = tiny_model()
    videos = dream(model, tiny_observation(2), ["a", "b"], threshold=2.0, max_steps=4)
    chunks = label(model, videos)
    assert [c.shape for c in chunks] == [(4, 4, 4)] * 2
    np.testing.assert_allclose(label(model, videos[:1])[0][0].shape, chunks[0][0].shape)


def test_labels_are_asked_whether_they_lead_through_the_video():
    model = tiny_model()
    first = tiny_observation(2)
    chunks = [np.full((4, 4, 4), 0.3, np.float32), np.full((4, 4, 4), -0.6, np.float32)]
    session = Session(model, ["a", "b"], float("nan"), seed=7)
    session.observe(first)
    seen = [first]
    for t in range(4):
        values = step(session, np.stack([c[t] for c in chunks])).values
        seen.append(model.decode_images(values))
    videos = []
    for row, text in enumerate(("a", "b")):
        frames = {c: np.stack([frame[f"image.{c}"][row] for frame in seen]) for c in model.cameras}
        videos.append(Video(frames, np.zeros((5, 4), np.float32), np.zeros(5), text))
    own = unexplained(model, videos, chunks, 7)
    assert (own < 1e-3).all()  # pixels are whole numbers
    backwards = [replace(v, frames={c: x[::-1] for c, x in v.frames.items()}) for v in videos]
    assert (unexplained(model, backwards, chunks, 7) > 0.05).all()
    still = {c: np.repeat(x[:1], 5, 0) for c, x in videos[0].frames.items()}
    assert unexplained(model, [replace(videos[0], frames=still)], chunks[:1], 7).tolist() == [1.0]


def test_an_episode_follows_the_time_rule():
    model = tiny_model()
    video = dream(model, tiny_observation(1), ["a"], threshold=2.0, max_steps=4)[0]
    chunks = label(model, [video])[0]
    threshold = float(np.sort(video.value)[-1]) - 1e-6
    episode = as_episode(video, chunks, threshold, {"task": "a"})
    reached = int(np.flatnonzero(video.value > threshold)[0])
    assert episode.length == 5 and not episode.columns["action"][-1].any()
    assert episode.columns["action.valid"].tolist() == [True] * 4 + [False]
    assert episode.columns["next.success"][max(reached - 1, 0)] and episode.info["success"]


def test_a_synthesis_is_a_dataset_and_is_repeatable(tmp_path):
    model = tiny_model()
    figures = synthesize(model, FakeWorld(2), STARTS, tmp_path / "one", threshold=2.0, max_steps=3)
    assert figures["episodes"] == 3 and figures["rows"] == 12 and figures["predicted_success"] == 0
    written = Dataset(tmp_path / "one")
    assert figures["unexplained"] == pytest.approx(np.mean([e.info["unexplained"] for e in written.episodes]))
    assert sorted(e.instruction for e in written.episodes) == sorted(s[2] for s in STARTS)
    assert written.episodes[0].info["behaviour"] == "dream"
    synthesize(model, FakeWorld(2), STARTS, tmp_path / "two", threshold=2.0, max_steps=3)
    assert np.array_equal(written.column("action"), Dataset(tmp_path / "two").column("action"))
    with pytest.raises(UserError, match="exists already"):
        synthesize(model, FakeWorld(2), STARTS, tmp_path / "one", threshold=2.0)


def test_a_dream_does_not_depend_on_those_dreamed_beside_it(tmp_path):
    for n in (1, 3):
        synthesize(tiny_model(), FakeWorld(n), STARTS, tmp_path / f"{n}", threshold=2.0, max_steps=3)
    alone, together = (Dataset(tmp_path / f"{n}") for n in (1, 3))
    np.testing.assert_allclose(alone.column("action"), together.column("action"), atol=1e-4)
    assert alone.robot_type == "sawyer"  # the world's


def test_another_call_does_not_go_on_with_the_dreams_of_one_that_was_killed(tmp_path, monkeypatch):
    root, asked = tmp_path / "dreams", {"threshold": 2.0, "max_steps": 3}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("presage.simulator.synthesis.write_dataset", Mock(side_effect=KeyboardInterrupt))
        synthesize(tiny_model(), FakeWorld(2), STARTS, root, **asked)
    for change, said in (
        ({"max_steps": 4}, "max_steps 3, now it is 4"),
        ({"threshold": 1.0}, "threshold"),
        ({"seed": 1}, "seed"),
        ({"made_of": {"checkpoint": "another"}}, "checkpoint"),
    ):
        with pytest.raises(UserError, match=said):
            synthesize(tiny_model(), FakeWorld(2), STARTS, root, **asked | change)
    with pytest.raises(UserError, match="now to 'shut it'"):
        synthesize(tiny_model(), FakeWorld(2), [*STARTS[:2], ("a", 3, "shut it")], root, **asked)
    told = tmp_path / "dreams.partial" / CALL
    before = told.read_text()
    told.unlink()
    with pytest.raises(UserError, match="does not say what its episodes were made of"):
        synthesize(tiny_model(), FakeWorld(2), STARTS, root, **asked)
    told.write_text(before)
    assert synthesize(tiny_model(), FakeWorld(2), STARTS, root, **asked)["episodes"] == 3


SCRIPT = """
import sys
from pathlib import Path
from presage.simulator.synthesis import synthesize
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_model
starts = [("a", i, "open the drawer") for i in range(400)]
synthesize(tiny_model(), FakeWorld(4), starts, Path(sys.argv[1]), threshold=2.0, max_steps=3)
"""


def test_kill_9_loses_no_whole_episode(tmp_path):
    root, spool = tmp_path / "dreams", tmp_path / "dreams.partial"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(root)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and len(list(spool.glob("0*"))) < 4:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    whole = {p.name: (p / "rows.npz").read_bytes() for p in spool.glob("0*")}
    assert whole and not root.exists()
    starts = [("a", i, "open the drawer") for i in range(400)]
    n = (max(int(name.split("-")[0]) for name in whole) // 4 + 2) * 4  # finish only a few more than were there
    del starts[n:]
    figures = synthesize(tiny_model(), FakeWorld(4), starts, root, threshold=2.0, max_steps=3)
    assert figures["episodes"] == n and not spool.exists()
