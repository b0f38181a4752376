"""A recording as a world: any recorded frame, what was done there and what came of it; nothing that it cannot know."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.episodes.robots import write_robot
from tests.simulator.gate.squares import SIZE, recording, write_squares
from tests.tiny import tiny_model
from tests.worlds import contract

from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.policy.replay import ReplayPolicy
from presage.simulator.environment import DreamWorld
from presage.simulator.recordings import recording_of_robot
from presage.worlds.recording import RecordedWorld, Recording
from presage.worlds.rollout import rollout


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return recording(write_squares(tmp_path_factory.mktemp("data") / "squares", episodes=6, rows=10))


def test_it_goes_to_any_recorded_frame_and_on_with_the_recorded_actions(squares: Recording) -> None:
    world = RecordedWorld(squares, num_envs=2)
    seen, info = world.reset(options={"episode": [4, 1], "row": [7, 0]})
    assert np.array_equal(seen["image.front"], np.stack([squares.frames(4)[7, 0], squares.frames(1)[0, 0]]))
    assert np.array_equal(seen["state"][0], squares.state[squares.row(4, 7)])
    assert info["outcome"] == [True, False] and info["instruction"] == ["move"] * 2 and info["row"].tolist() == [7, 0]
    for row in (8, 9):
        chunk = world.recorded_chunk()
        assert np.array_equal(chunk[0], squares.action[squares.row(4, row - 1)])
        seen, reward, success, ended, info = world.step(chunk)
        assert np.array_equal(seen["image.front"][0], squares.frames(4)[row, 0])
    assert ended.tolist() == [True, False] and info["steps"].tolist() == [2, 2]
    with pytest.raises(UserError, match="environment 0: episode 4 ends at row 9; reset it"):
        world.recorded_chunk()


def test_first_frames_are_decoded_once_however_many_dreams_begin_in_them(
    squares: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, decoded = RecordedWorld(recording(squares.steps.root), num_envs=6), []
    many, order = squares.steps.iterate_squares, [5, 4, 3, 2, 1, 0]
    first = np.stack([squares.frames(e)[0, 0] for e in order])
    monkeypatch.setattr("presage.worlds.recording.KEPT", 2)
    monkeypatch.setattr(
        type(squares.steps), "iterate_squares", lambda self, numbers, *of: decoded.extend(numbers) or many(numbers, *of)
    )
    for _ in range(3):
        seen, _ = world.reset(options={"episode": order})
        assert np.array_equal(seen["image.front"], first)
    assert decoded == order


def test_what_needs_a_simulator_says_so(squares: Recording) -> None:
    world = RecordedWorld(squares)
    world.reset(seed=2)
    with pytest.raises(UserError, match="other actions than those recorded at row 0 of episode 2: what they lead to"):
        world.step(world.recorded_chunk() + 0.5)
    for call in (world.expert_chunk, lambda: world.disturb(0, "push")):
        with pytest.raises(UserError, match="simulator"):
            call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episode": [9]}, "episode: there is no 9; the recording has 0, 1, 2, 3, 4, 5"),
        ({"row": [10]}, "row: episode 3 has rows 0 to 9 of model steps, not 10"),
        ({"row": ["1"]}, "row: give 1 whole numbers"),
        ({"task": ["sing"]}, "task: no episode of 'sing'; there are pull, push"),
    ],
)
def test_a_frame_that_does_not_exist_is_refused(squares: Recording, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RecordedWorld(squares).reset(seed=3, options=options)


def test_seeds_and_options_keep_the_contract_of_worlds(squares: Recording) -> None:
    contract.check_seeds(RecordedWorld(squares, num_envs=3))


def test_success_is_known_from_rows_or_else_from_the_end(squares: Recording) -> None:
    world = RecordedWorld(squares, num_envs=2)
    world.reset(options={"episode": [2, 3], "row": [8, 8]})  # the last row of every second episode says success
    _, reward, success, ended, _ = world.step(world.recorded_chunk())
    assert success.tolist() == [False, False] and ended.all()  # the chunk that reaches it has no frame behind it


def test_a_policy_that_replays_runs_in_it_and_a_dream_begins_where_it_begins(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm", ("front", "top"), joints=4, length=21, fps=20, episodes=3)
    robot = Robot.from_dataset(Dataset(root), fit="crop")
    recorded = recording_of_robot(robot, Dataset(root), 32)
    assert recorded.chunk_shape == (4, 4) and recorded.length.tolist() == [6] * 3
    assert recorded.success == [True, False, True]
    world = RecordedWorld(recorded, num_envs=2)
    dream = DreamWorld(tiny_model(), RecordedWorld(recorded, num_envs=2), threshold=2.0)
    tasks, seeds = ["lift the cube"] * 2, [2, 1]
    labels = [np.full((3, 4, 4), 7, np.float32)] * 2  # joints are not kept within [-1, 1], as a simulator's actions are
    dreamed = rollout(ReplayPolicy(labels), dream, tasks, seeds, 3, record=True)
    assert np.array_equal(dreamed[0].frames["top"][0], recorded.frames(2)[0, 1])
    assert dreamed[1].instruction == "lift the cube" and dreamed[0].steps == 3
    assert dreamed[0].actions is not None and np.array_equal(dreamed[0].actions, labels[0])
    first, _ = world.reset(seed=seeds)
    assert np.array_equal(first["image.top"][1], dreamed[1].frames["top"][0])


def test_rates_relative_actions_and_numbers_of_the_dataset_are_kept(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm", ("front", "wrist"), joints=3, length=31, episodes=4)
    dataset = Dataset(root, [1, 3])
    robot = Robot.from_dataset(dataset, cameras=["both=front+wrist"], relative=["all"], fps=15, chunk=5)
    recorded = recording_of_robot(robot, dataset, SIZE)
    assert recorded.numbers == [1, 3] and recorded.fps == 3 and recorded.cameras == ("both",)
    assert recorded.length.tolist() == [4, 4] and recorded.valid.tolist() == [True, True, True, False] * 2
    expected = np.arange(5)[:, None] * 0.02 + 0.01 + np.zeros(3)  # rows of 1/100 each, two of them an action
    np.testing.assert_allclose(recorded.action[0], expected, atol=1e-5)
    assert np.isnan(recorded.action[3]).all() and recorded.frames(1).shape == (4, 1, SIZE, SIZE, 3)


def test_video_alone_can_be_looked_at_and_not_replayed(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "film", length=11, fps=5, action=False, state=False)
    dataset = Dataset(root)
    recorded = recording_of_robot(Robot.from_dataset(dataset, action=["none"], chunk=1), dataset, SIZE)
    world = RecordedWorld(recorded)
    seen, _ = world.reset(options={"row": [5]}, seed=0)
    assert abs(int(seen["image.front"].mean()) - 20) <= 2
    with pytest.raises(UserError, match="has no action at row 5: it was not recorded"):
        world.recorded_chunk()
