"""A dream is stored like the recordings that it began in, and read back as it was."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.episodes.robots import write_robot
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_model

from presage.benchmarks.recorded_here import record
from presage.episodes.dataset import Dataset
from presage.episodes.edit import write_episodes
from presage.episodes.fit import restored, squares, tile, untile
from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.episodes.spool import spool_episode
from presage.episodes.steps import Steps
from presage.episodes.writer import write_dataset
from presage.errors import UserError
from presage.simulator.as_recorded import AsRecorded, SentAsRecorded, as_recorded
from presage.simulator.recordings import recording_of_robot, sight_of
from presage.simulator.synthesis import Video
from presage.training.checkpoint import save_model
from presage.worlds import ExpertPolicy, rollout
from presage.worlds.protocol import Observation
from presage.worlds.recording import RecordedWorld
from presage.worlds.rollout import episode_number

NAMES = {"motors": ["shoulder", "elbow", "wrist", "grip"]}
START = {"task": "lift the cube", "seed": 1, "behaviour": "dream"}
SIZE = 32


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three episodes of an arm, 20 rows a second, pictures of 48 x 64, with named joints."""
    root = write_robot(tmp_path / "arm", ("front", "top"), joints=4, length=21, fps=20, episodes=3)
    info = json.loads((root / "meta/info.json").read_text())
    for feature in ("action", "observation.state"):
        info["features"][feature]["names"] = NAMES
    (root / "meta/info.json").write_text(json.dumps(info))
    return root


def form_of(source: Path, **how: Any) -> AsRecorded:
    dataset = Dataset(source)
    robot = replace(Robot.from_dataset(dataset, **how), overlap=False)
    world = RecordedWorld(recording_of_robot(robot, dataset, SIZE), 1)
    return AsRecorded(dataset, robot, Slots.alone(robot), world)


def a_dream(form: AsRecorded, steps: int = 5, seed: int = 0) -> tuple[Video, np.ndarray]:
    """A smooth video of random states, and random labels (T, chunk, A). Success is seen in frame 3."""
    rng, robot = np.random.default_rng(seed), form.robot
    frames = {}
    for i, camera in enumerate(robot.cameras):
        grey = np.linspace(40 + 60 * i, 160 + 60 * i, steps + 1).round().astype(np.uint8)
        frames[camera] = np.broadcast_to(grey[:, None, None, None], (steps + 1, SIZE, SIZE, 3)).copy()
    states = rng.normal(size=(steps + 1, len(robot.state_names))).astype(np.float32)
    value = np.where(np.arange(steps + 1) >= 3, 0.9, 0.1)
    chunks = rng.normal(size=(steps, robot.chunk, len(robot.action_names))).astype(np.float32)
    return Video(frames, states, value, "put it down"), chunks


def written(form: AsRecorded, video: Video, chunks: np.ndarray, root: Path) -> Dataset:
    spool_episode(root.with_suffix(".partial"), "0", form.episode(video, chunks, 0.5, START), form.fps)
    names, fps = form.names, form.fps
    return Dataset(write_dataset(root.with_suffix(".partial"), root, fps=fps, robot_type=form.robot_type, names=names))


def test_its_features_rate_and_names_are_the_recorded_ones(source: Path, tmp_path: Path) -> None:
    form = form_of(source)
    made = written(form, *a_dream(form), tmp_path / "dreams")
    assert (made.fps, made.robot_type, made.cameras) == (20, "arm", ["front", "top"])
    assert made.features == form.dataset.features and form.left_out() == []
    assert made.features["action"]["names"] == NAMES and made.num_rows == 5 * 4
    assert made.episodes[0].instruction == "put it down" and made.episodes[0].info["success"] is True
    both = tmp_path / "both"
    write_episodes([Dataset(source), made], both)
    assert len(Dataset(both).episodes) == 4


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"relative": ["all"]},
        {"fps": 10, "chunk": 2},
        {"fps": 15, "chunk": 3},
        {"fit": "letterbox"},
        {"cameras": ["both=front+top"]},
        {"action": ["action:0-2"], "state": ["observation.state:1-3"]},
    ],
    ids=["as it is", "relative", "half the rate", "three quarters", "letterbox", "tiled", "some columns"],
)
def test_the_model_reads_its_own_steps_back(source: Path, tmp_path: Path, how: dict[str, Any]) -> None:
    form = form_of(source, **how)
    video, chunks = a_dream(form)
    made = Steps(written(form, video, chunks, tmp_path / "dreams"), form.robot)
    assert made.recorded("action").tolist() == [True] * 5
    np.testing.assert_allclose(made.column("action").reshape(chunks.shape), chunks, atol=1e-5)
    if how.get("fps") != 15:  # there, states between two rows are read between them
        np.testing.assert_allclose(made.column("observation.state"), video.states[:-1], atol=1e-5)
    for camera, frames in video.frames.items():
        seen = next(iter(made.iterate_squares([0], camera, SIZE)))
        inside = np.s_[:, 2:14] if len(form.robot.cameras[camera]) > 1 else np.s_[:, 6:-6, 2:-2]
        np.testing.assert_allclose(seen[inside].astype(int), frames[:-1][inside], atol=4)


def test_what_the_model_does_not_drive_stays_as_it_was(source: Path, tmp_path: Path) -> None:
    form = form_of(source, action=["action:0-2"], state=["none"], cameras=["top"])
    made = written(form, *a_dream(form), tmp_path / "dreams")
    start = form.dataset.column("action")[21]  # of the second episode, in which the dream begins
    assert (made.column("action")[:, 3] == start[3]).all() and "observation.state" not in made.features
    assert form.left_out() == ["observation.images.front", "observation.state"]
    beside = form.dataset.frames(1, "top")[0][:, :6]
    np.testing.assert_allclose(made.frames(0, "top")[7][:, :6].astype(int), beside, atol=4)


def test_rows_that_hold_chunks_stay_such(tmp_path: Path) -> None:
    world, folder = FakeWorld(2), save_model(tiny_model(), tmp_path / "model", "a random model")
    made = rollout(ExpertPolicy(world), world, ["lift the cube"] * 2, [4, 5], 6, record=True)
    recording = record(tmp_path / "source", made, world, 5.0, folder)
    form = as_recorded(sight_of(folder), tmp_path / "source", RecordedWorld(recording, 1))
    assert "as the model sees them, 32 x 32" in form.describe()
    video, chunks = a_dream(form)
    stored = written(form, video, chunks.reshape(5, 4, 4), tmp_path / "dreams")
    assert stored.features == form.dataset.features and stored.robot_type == "sawyer" and stored.num_rows == 6
    assert stored.column("action.valid").tolist() == [True] * 5 + [False]
    np.testing.assert_allclose(stored.column("action")[:5].reshape(5, 4, 4), chunks, atol=1e-6)


def test_success_is_said_of_the_action_before_it(source: Path, tmp_path: Path) -> None:
    form = form_of(source)
    flagged = form.dataset.features | {"next.success": {"dtype": "bool", "shape": [1], "names": None}}
    form.dataset.features = flagged
    said = form.episode(*a_dream(form), 0.5, START).columns["next.success"]
    assert said.dtype == bool and said.tolist() == [False] * 11 + [True] * 9  # frame 3 is row 12
    never = form.episode(*a_dream(form), 2.0, START)
    assert not never.columns["next.success"].any() and never.info["success"] is False


def test_relative_actions_need_the_state_that_they_are_relative_to(source: Path) -> None:
    form = form_of(source, relative=["all"])
    video, chunks = a_dream(form)
    blind = replace(video, states=video.states[:, :0])
    with pytest.raises(UserError, match="arm: the model's actions are relative to the state, which it does not dream"):
        form.episode(blind, chunks, 0.5, START)


class Watches:
    """A policy that keeps what it was sent."""

    def reset(self, instructions: list[str]) -> None:
        self.told = instructions

    def act(self, observation: Observation) -> np.ndarray:
        self.seen = observation
        return np.zeros((2, 4, 4), np.float32)


@pytest.mark.parametrize("how", [{}, {"fit": "letterbox"}, {"cameras": ["both=front+top"]}])
def test_who_knows_the_robots_own_pictures_is_sent_such(source: Path, how: dict[str, Any]) -> None:
    """The recorded size; what lies beside the square that was dreamed comes from the first frame of the episode."""
    form, watches = form_of(source, **how), Watches()
    policy = SentAsRecorded(watches, form, ["lift the cube"] * 2, [1, 2])
    policy.reset(["lift it"] * 2)
    numbers = np.array([episode_number("lift the cube", seed) for seed in (2, 1)])
    rest = {"state": np.ones((2, 4), np.float32), "active": np.array([True, False]), "episode": numbers}
    dreamed = {f"image.{camera}": np.full((2, SIZE, SIZE, 3), 200, np.uint8) for camera in form.robot.cameras}
    assert policy.act({**dreamed, **rest}).shape == (2, 4, 4) and watches.told == ["lift it"] * 2
    assert set(watches.seen) == {"image.front", "image.top", *rest}
    assert all(watches.seen[name] is x for name, x in rest.items())
    for camera in ("front", "top"):
        sent = watches.seen[f"image.{camera}"].astype(int)
        assert sent.shape == (2, 48, 64, 3) and abs(sent[:, :, 9:55] - 200).max() <= 3
        for row, place in ((0, 2), (1, 1)):
            beside = 200 if "fit" in how else form.dataset.frames(place, camera)[0, :, :8].astype(int)
            assert np.abs(sent[row, :, :8] - beside).max() <= 3
    told = form.describe()
    assert "front 48 x 64, top 48 x 64 (height x width), scaled from 32 x 32" in told
    assert ("beside that square" in told) == ("fit" not in how)


@pytest.mark.parametrize("fit", ["crop", "letterbox"])
def test_a_square_goes_back_to_where_it_was_seen(fit: Any) -> None:
    y, x = np.mgrid[:48, :64]
    picture = np.stack([4 * x % 256, 5 * y % 256, x + y], -1).astype(np.uint8)
    whole = restored(squares(48, fit)(picture), picture, fit)
    assert whole.shape == picture.shape and np.abs(whole.astype(int) - picture).mean() < 8
    assert not np.array_equal(restored(np.zeros((48, 48, 3), np.uint8), picture, fit), picture)


def test_tiles_come_apart_again() -> None:
    cells = [np.full((2, 16, 16, 3), i, np.uint8) for i in range(3)]
    assert all(np.array_equal(a, b) for a, b in zip(cells, untile(tile(cells, 32), 3), strict=True))
