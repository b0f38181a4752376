"""Data of which nothing would be learned are refused, and what is unusual is said."""

from pathlib import Path

import numpy as np
import pytest

from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot
from presage.episodes.slots import separate
from presage.episodes.steps import Steps
from presage.errors import UserError
from presage.training.learnable import about_sharing, check_learnable, remarks
from tests.episodes.robots import write_numbers, write_robot


def steps(data: Dataset, **options: object) -> Steps:
    return Steps(data, Robot.from_dataset(data, **options))


def test_a_chunk_longer_than_every_episode(tmp_path: Path) -> None:
    data = Dataset(write_robot(tmp_path / "arm", length=21))
    says = "arm: its longest episode has 21 actions at 30 per second.*--chunk at most 20"
    with pytest.raises(UserError, match=says):
        check_learnable(steps(data, chunk=21))
    check_learnable(steps(data, chunk=20))
    with pytest.raises(UserError, match="has 3 actions at 3 per second.*--chunk at most 2"):
        check_learnable(steps(data, chunk=5, fps=3))


def test_episodes_of_one_row(tmp_path: Path) -> None:
    data = Dataset(write_robot(tmp_path / "arm", length=1))
    with pytest.raises(UserError, match="every episode has one row"):
        check_learnable(steps(data))
    with pytest.raises(UserError, match="every episode has one row"):
        check_learnable(steps(data, action=["none"]))


def test_actions_that_were_never_executed(tmp_path: Path) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        return {"action": np.ones((9, 2), np.float32), "action.valid": np.zeros(9, bool)}

    data = Dataset(write_numbers(tmp_path / "arm", columns))
    with pytest.raises(UserError, match="no row has a whole chunk of actions"):
        check_learnable(steps(data, chunk=2))
    check_learnable(steps(data, chunk=2, action=["none"]))


def test_nothing_to_imitate(tmp_path: Path) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        return {"action": np.ones((9, 2), np.float32), "quality": np.zeros(9, np.float32)}

    data = Dataset(write_numbers(tmp_path / "arm", columns))
    check_learnable(steps(data, chunk=2))
    with pytest.raises(UserError, match="no chunk is worth imitating"):
        check_learnable(steps(data, chunk=2), imitates_only=True)
    with pytest.raises(UserError, match="without an action there is nothing to imitate"):
        check_learnable(steps(data, chunk=2, action=["none"]), imitates_only=True)


def test_an_action_of_another_name_is_asked_for(tmp_path: Path) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        return {name: np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32) for name in ("actions", "state")}

    data = Dataset(write_numbers(tmp_path / "arm", columns))
    with pytest.raises(
        UserError, match="no column 'action'.*actions may be one: give --action actions, or --action none"
    ):
        Robot.from_dataset(data)
    robot = Robot.from_dataset(data, action=["actions"])
    assert remarks(data, robot) == [f"{data.root}: the model sees no state; state may be one: --state state"]
    video = remarks(data, Robot.from_dataset(data, action=["none"], state=["state"]))
    assert video == [f"{data.root}: no action is learned: the video alone, and no policy"]


def test_what_is_said_of_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def columns(episode: int) -> dict[str, np.ndarray]:
        action = rng.normal(size=(200, 3)).astype(np.float32)
        action[:, 1] = 5
        action[:, 2] = 1e-5 * action[:, 2] + 0.8 * (np.arange(200) == 10)
        still = np.ones((200, 3), np.float32)
        return {
            "action": action,
            "observation.state": still,
            "quality": np.full(200, 3),
            "next.success": np.zeros(200, bool),
        }

    names = {"action": ["a", "b", "c"], "observation.state": ["c", "b", "a"]}
    data = Dataset(write_numbers(tmp_path / "arm", columns, names=names))
    lines = [line.removeprefix(f"{data.root}: ") for line in remarks(data, Robot.from_dataset(data, relative=["0"]))]
    says = [
        "absolute actions: b, c; all others relative to the state",
        "'b' of 'action' never moves from 5",
        "'c' of 'action' lies between",
        "'observation.state' is the same in every row",
        "column 'quality' is not used: it reaches from 3 to 3",
        "column 'next.success' is never true",
    ]
    assert len(lines) == len(says) and all(line.startswith(start) for line, start in zip(lines, says))
    other = remarks(data, Robot.from_dataset(data, relative=["2"]))  # the first number of the state
    assert f"{data.root}: absolute actions: a, b; all others relative to the state" in other


def test_a_column_is_never_true_only_where_the_whole_dataset_never_says_so(tmp_path: Path) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        told = {} if episode == 2 else {"next.success": np.arange(4) > episode * 4}
        return {"action": np.arange(8, dtype=np.float32).reshape(4, 2)} | told

    data = Dataset(write_numbers(tmp_path / "arm", columns, episodes=3), [1, 2])
    assert not any("never true" in line for line in remarks(data, Robot.from_dataset(data)))


def test_what_is_said_of_several_robots(tmp_path: Path) -> None:
    arm, dual = Dataset(write_robot(tmp_path / "arm")), Dataset(write_robot(tmp_path / "dual", joints=14, name="dual"))
    one, two = Robot.from_dataset(arm), Robot.from_dataset(dual)
    assert about_sharing(separate([one, one])) == []
    assert "have entries of their own" in about_sharing(separate([one, two]))[0]
    twin = Robot.from_dataset(Dataset(write_robot(tmp_path / "twin", name="other")))
    assert about_sharing(separate([one, twin])) == ["robots 'arm' and 'other' share entries of the action"]
