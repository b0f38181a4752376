"""Rows of any rate become model steps: no action moves to another frame, and nothing missing counts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.episodes.robots import write_numbers, write_robot
from tests.episodes.samples import make_episode

from presage.episodes.cache import frame_cache
from presage.episodes.dataset import Dataset
from presage.episodes.fit import squares
from presage.episodes.metadata import EpisodeRecord
from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.episodes.steps import MAX_INSTRUCTION, NO_INSTRUCTION, Steps, _lay_out
from presage.errors import UserError


def test_a_step_is_a_frame_and_the_chunk_executed_after_it(tmp_path: Path) -> None:
    data = Dataset(write_robot(tmp_path / "arm", joints=2, length=14))
    steps = Steps(data, Robot.from_dataset(data, chunk=3, overlap=False))
    assert steps.lengths.tolist() == [5, 5] and steps.fps == 10
    state, action = steps.column("observation.state"), steps.column("action").reshape(-1, 3, 2)
    np.testing.assert_allclose(state[:5, 0], [0, 0.03, 0.06, 0.09, 0.12], atol=1e-6)
    np.testing.assert_allclose(action[:4, :, 0], state[:4, :1] + [[0.01, 0.02, 0.03]], atol=1e-6)
    assert steps.recorded("action").tolist() == [True] * 4 + [False] + [True] * 4 + [False]
    assert np.isnan(action[4]).all()  # rows 12 and 13 are no whole chunk: missing, not zero


def test_overlap_uses_every_row_and_every_whole_chunk(tmp_path: Path) -> None:
    data = Dataset(write_robot(tmp_path / "arm", joints=1, length=14, episodes=1))
    steps = Steps(data, Robot.from_dataset(data, chunk=3))
    assert steps.num_rows == 14 and steps.lengths.tolist() == [5, 5, 4]
    assert steps.recorded("action").sum() == 12
    seen = np.sort(steps.column("observation.state")[:, 0])
    np.testing.assert_allclose(seen, np.arange(14) / 100, atol=1e-6)


def test_frames_are_those_of_the_rows(tmp_path: Path) -> None:
    data = Dataset(write_robot(tmp_path / "arm", ("front", "wrist"), length=14))
    steps = Steps(data, Robot.from_dataset(data, chunk=3, cameras=["both=front+wrist", "wrist"]))
    frames = frame_cache(steps, ["both", "wrist"], 16)
    time = np.round(100 * (steps.column("observation.state")[:, 0] % 1)).astype(int)
    np.testing.assert_allclose(frames[:, 1, 8, 8, 0], 4 * time + 10, atol=3)
    np.testing.assert_allclose(frames[:, 0, 4, 4, 0], 4 * time, atol=3)
    np.testing.assert_allclose(frames[:, 0, 4, 12, 0], 4 * time + 10, atol=3)
    assert frames[:, 0, 8:].max() == 0


def test_other_rates_take_the_nearest_row_and_interpolate_the_state(tmp_path: Path) -> None:
    data = Dataset(write_robot(tmp_path / "arm", joints=1, fps=30, length=31, episodes=1))
    half = Steps(data, Robot.from_dataset(data, fps=15, chunk=1, overlap=False))
    np.testing.assert_allclose(half.column("observation.state")[:, 0], np.arange(0, 31, 2) / 100, atol=1e-6)
    odd = Steps(data, Robot.from_dataset(data, fps=20, chunk=1, overlap=False))
    assert odd.num_rows == 21  # one second, and its first frame
    np.testing.assert_allclose(odd.column("observation.state")[:, 0], np.arange(21) * 0.015, atol=1e-6)
    rows = odd.column("action")[:, 0] * 100 - 1
    assert np.abs(rows - np.arange(21) * 1.5).max() <= 0.501


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    fps=st.sampled_from([5.0, 10.0, 29.97, 30.0, 50.0]),
    wanted=st.sampled_from([5.0, 10.0, 24.0, 30.0, 60.0]),
    chunk=st.integers(1, 9),
    overlap=st.booleans(),
)
def test_steps_never_leave_their_episode(lengths, fps, wanted, chunk, overlap) -> None:
    start = np.cumsum([0, *lengths[:-1]])
    records = [EpisodeRecord(i, n, int(s), "x", {}, "f", 0) for i, (n, s) in enumerate(zip(lengths, start))]
    data = object.__new__(Dataset)
    data.episodes, data.fps, data.cameras, data.root = records, fps, ["front"], Path("data")
    robot = Robot("r", {"front": ["front"]}, [], [], wanted, chunk, overlap=overlap)
    grid = _lay_out(data, robot)
    for steps, source in zip(grid.episodes, grid.source, strict=True):
        first, last = records[source].start, records[source].start + records[source].length - 1
        time, rows = grid.time[steps.rows], grid.rows[steps.rows]
        assert first <= time.min() and time.max() <= last + 1e-6
        assert first <= rows.min() and rows.max() <= last
        np.testing.assert_allclose(np.diff(time), chunk * fps / wanted, atol=1e-5)
        reach = time + (chunk - 1) * fps / wanted
        assert (grid.whole[steps.rows] == (reach <= last + 1e-4)).all()
    assert sum(e.length for e in grid.episodes) == len(grid.time)


def test_relative_actions_are_differences_from_the_state_before_the_chunk(tmp_path: Path) -> None:
    data = Dataset(write_robot(tmp_path / "arm", joints=3, length=13))
    steps = Steps(data, Robot.from_dataset(data, chunk=4, relative=["0-1"], overlap=False))
    action = steps.column("action").reshape(-1, 4, 3)[steps.recorded("action")]
    np.testing.assert_allclose(action[..., :2], np.tile([[[0.01], [0.02], [0.03], [0.04]]], (6, 1, 2)), atol=1e-5)
    assert action[..., 2].min() > 1.9  # absolute


def test_an_episode_without_actions_is_missing_and_success_belongs_to_its_chunk(root: Path) -> None:
    data = Dataset(root)  # the third of four episodes recorded no actions
    steps = Steps(data, Robot.from_dataset(data, chunk=2, overlap=False))
    assert not steps.recorded("action")[steps.episodes[2].rows].any()
    success = make_episode(3, length=7).columns["next.success"]
    found = steps.column("next.success")[steps.episodes[3].rows]
    assert found.tolist() == [success[i : i + 2].any() for i in range(0, 7, 2)]


def test_a_robot_without_state_or_action_has_no_such_column(tmp_path: Path) -> None:
    data = Dataset(write_robot(tmp_path / "cam", state=False, action=False, instruction=" "))
    steps = Steps(data, Robot.from_dataset(data, action=["none"]))
    assert set(steps.features) == {"next.success"}
    assert {e.instruction for e in steps.episodes} == {NO_INSTRUCTION}
    with pytest.raises(UserError, match="no column 'action' in model steps"):
        steps.column("action")


def test_slots_of_another_robot_are_nan(tmp_path: Path) -> None:
    arm = Dataset(write_robot(tmp_path / "arm", joints=2, length=7))
    dual = Dataset(write_robot(tmp_path / "dual", joints=3, length=7))
    one = Robot.from_dataset(arm, action=["action@arm"], state=["none"], chunk=2)
    two = Robot.from_dataset(dual, action=["action@dual"], state=["none"], chunk=2)
    action = Steps(dual, two, Slots.of([one, two])).column("action").reshape(-1, 2, 5)
    valid = ~np.isnan(action).all((1, 2))
    assert valid.any() and np.isnan(action[valid][..., :2]).all() and np.isfinite(action[valid][..., 2:]).all()


def test_columns_in_another_order_than_the_robots_are_refused(tmp_path: Path) -> None:
    def arm(name: str, names: object) -> Dataset:
        action = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
        return Dataset(write_numbers(tmp_path / name, lambda e: {"action": action}, names={"action": names}))

    robot = Robot.from_dataset(arm("a", ["x", "grip"]), chunk=2)
    Steps(arm("unnamed", None), robot).column("action")
    with pytest.raises(UserError, match="swapped: column 0 of 'action' is 'grip', and 'x' in the robot"):
        Steps(arm("swapped", ["grip", "x"]), robot).column("action")


def say_size(root: Path, height: int, width: int) -> Dataset:
    """The dataset, after info.json has been told that the pictures have this size."""
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["observation.images.front"]["shape"] = [height, width, 3]
    path.write_text(json.dumps(info))
    return Dataset(root)


def test_pictures_of_other_proportions_than_are_said_are_refused(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm", length=14, size=(48, 64))
    double = say_size(root, 96, 128)  # the same proportions: the model sees the same
    steps = Steps(double, Robot.from_dataset(double))
    assert next(steps.iterate_squares([0], "front", 16)).shape[1:] == (16, 16, 3)
    square = say_size(root, 64, 64)
    steps = Steps(square, Robot.from_dataset(square))
    with pytest.raises(
        UserError, match=r"'front' in episode 0 are 48 x 64 .*, meta/info.json says 64 x 64; correct 'shape'"
    ):
        next(steps.iterate_squares([0], "front", 16))


def test_a_robot_that_looked_at_other_proportions_is_not_taught_these(tmp_path: Path) -> None:
    wide, square = (Dataset(write_robot(tmp_path / f"{w}", size=(48, w))) for w in (64, 48))
    with pytest.raises(UserError, match=r"'front' are 48 x 48 .*, those that were trained on 48 x 64;"):
        Steps(square, Robot.from_dataset(wide))
    assert Steps(square, replace(Robot.from_dataset(wide), recorded={})).num_rows  # an older description: not known


def test_an_instruction_that_could_not_be_served_is_not_taught(tmp_path: Path) -> None:
    for length in (MAX_INSTRUCTION, MAX_INSTRUCTION + 1):
        data = Dataset(write_robot(tmp_path / f"{length}", length=9, instruction="a" * length))
        if length == MAX_INSTRUCTION:
            assert Steps(data, Robot.from_dataset(data)).num_rows
            continue
        with pytest.raises(
            UserError, match="the instruction of episode 0 has 200001 characters, at most 200000 are taken"
        ):
            Steps(data, Robot.from_dataset(data))


def test_numbers_that_no_float32_holds_are_refused(tmp_path: Path) -> None:
    data = Dataset(write_numbers(tmp_path / "arm", lambda e: {"action": np.full((9, 2), 1e60)}))
    with pytest.raises(UserError, match="'action' holds numbers beyond 3e38"):
        Steps(data, Robot.from_dataset(data, chunk=2)).column("action")


def test_rows_without_state_are_refused(root: Path, build) -> None:
    episodes = [make_episode(0), make_episode(1)]
    del episodes[1].columns["observation.state"]
    data = Dataset(build(episodes, "partly"))
    with pytest.raises(UserError, match="was not recorded in 6 of 12 rows"):
        Steps(data, Robot.from_dataset(data, chunk=2)).column("observation.state")


def test_a_square_of_the_right_size_stays_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for fit in ("crop", "letterbox"):
        np.testing.assert_array_equal(squares(32, fit)(image), image)
