"""Outcomes that a person told count like recorded ones, never instead of them, and only for their own dataset."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.episodes.robots import write_numbers, write_robot

from presage.episodes.dataset import Dataset
from presage.episodes.edit import write_episodes
from presage.episodes.grow import append_episodes
from presage.episodes.labels import Labels, beside, known_by, read_labels, require_used, write_labels
from presage.episodes.outcome import chunk_quality, episode_success, steps_to_success
from presage.episodes.robot import Robot
from presage.episodes.steps import Steps
from presage.episodes.survey import survey
from presage.errors import UserError
from presage.training.data import open_dataset
from presage.training.recorded import read_recorded


def write_unknown(root: Path, episodes: int = 4, facts: tuple[bool | None, ...] = ()) -> Path:
    """Episodes of six rows of which only `facts` are known; each does something else."""

    def columns(episode: int) -> dict[str, np.ndarray]:
        return {"action": np.arange(12, dtype=np.float32).reshape(6, 2) + episode}

    def told(episode: int) -> dict[str, bool]:
        known = facts[episode] if episode < len(facts) else None
        return {} if known is None else {"success": known}

    return write_numbers(root, columns, episodes, facts=told)


def label(root: Path, said: dict[int, bool | None], path: Path | None = None) -> Path:
    """Write what a person says of episodes of a dataset."""
    known = known_by(Dataset(root))
    answers = {number: replace(known[number], success=success) for number, success in said.items()}
    path = path or beside(root)
    write_labels(path, Labels(root.name, answers))
    return path


def test_labels_count_like_recorded_outcomes(tmp_path: Path) -> None:
    root = write_unknown(tmp_path / "arm")
    path = label(root, {0: True, 1: False, 2: None})
    assert path == tmp_path / "arm.labels.json" and read_labels(path).told() == {0: True, 1: False}
    dataset = open_dataset(root)
    steps = Steps(dataset, Robot.from_dataset(dataset, chunk=2, overlap=False))
    assert episode_success(dataset) == episode_success(steps) == [True, False, None, None]
    # The judge of a system learns from these: the last frame is the one that a person has seen succeed.
    np.testing.assert_array_equal(steps_to_success(dataset)[:12], [5, 4, 3, 2, 1, 0, *[np.inf] * 6])
    assert np.isnan(steps_to_success(dataset)[12:]).all()
    np.testing.assert_array_equal(steps_to_success(steps)[:6], [2, 1, 0, *[np.inf] * 3])
    known = read_recorded(steps, ["front"], 16, 2, 2)
    np.testing.assert_array_equal(known.left, steps_to_success(steps))
    assert (known.quality[3:6] == 0).all()
    # Nobody imitates an episode that failed.
    assert (chunk_quality(dataset)[6:12] == 0).all() and np.isnan(chunk_quality(dataset)[:6]).all()
    assert "outcome of 2 episodes of arm is labelled" in dataset.notes[-1]
    assert episode_success(open_dataset(root, labels=None)) == [None] * 4


def test_what_was_recorded_is_never_overridden_and_a_contradiction_is_said(tmp_path: Path) -> None:
    root = write_unknown(tmp_path / "arm", facts=(True, False))
    label(root, {0: False, 1: False, 2: True})
    dataset = open_dataset(root)
    assert episode_success(dataset) == [True, False, True, None] and dataset.labels == {2: True}
    assert dataset.notes[-1].endswith("what was recorded counts, and not the label that contradicts it: episodes 0")


def test_rows_that_say_so_go_before_a_label_too(tmp_path: Path) -> None:
    def columns(episode: int) -> dict[str, np.ndarray]:
        told = {"next.success": np.arange(4) == 1} if episode == 0 else {}
        return {"action": np.full((4, 2), episode, np.float32)} | told

    root = write_numbers(tmp_path / "arm", columns, 2)
    label(root, {0: False, 1: True})
    dataset = open_dataset(root)
    assert episode_success(dataset) == [True, True] and "contradicts it: episodes 0" in dataset.notes[-1]
    np.testing.assert_array_equal(steps_to_success(dataset), [2, 1, 0, 0, 3, 2, 1, 0])


def test_labels_of_something_else_are_refused_in_one_line(tmp_path: Path) -> None:
    root = write_unknown(tmp_path / "arm")
    other = write_robot(tmp_path / "other", episodes=4, length=6, state=False)
    path = label(root, {3: True}, beside(other))
    with pytest.raises(UserError, match="other.labels.json labels an episode 3 in which something else was done in"):
        open_dataset(other)
    path.write_text(path.read_text().replace('"rows": 6', '"rows": 7'))
    with pytest.raises(UserError, match="labels an episode 3 of 7 rows, where it has 6 in .*: they are of another"):
        open_dataset(other, [0])
    path.write_text(path.read_text().replace('"3"', '"9"'))
    with pytest.raises(UserError, match="labels episode 9, which it does not have"):
        open_dataset(other)
    with pytest.raises(UserError, match="labels episode 9"):
        require_used([Dataset(root), Dataset(other)], [path])


HEAD = '{"format": "presage labels 1", "dataset": "d", "episodes": '


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "other"}', HEAD + '{"0": {}}}', HEAD + '{"0": {"success": 2, "rows": 6}}}'],
)
def test_a_file_that_holds_no_labels_is_refused(tmp_path: Path, text: str) -> None:
    root = write_unknown(tmp_path / "arm")
    beside(root).write_text(text)
    with pytest.raises(UserError, match=r"arm.labels.json holds no labels of presage label \(.*\): restore it"):
        open_dataset(root)


def test_labels_elsewhere_are_given_and_taken_by_the_dataset_that_they_are_of(tmp_path: Path) -> None:
    roots = [write_unknown(tmp_path / "a"), write_robot(tmp_path / "b", length=6, state=False)]
    files = [label(roots[0], {1: True}, tmp_path / "mine.json")]
    opened = [open_dataset(root, labels=files) for root in roots]
    assert [d.labels for d in opened] == [{1: True}, {}]
    require_used(opened, files)


def test_labels_of_a_dataset_of_the_hub_outlive_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = tmp_path / "cache/datasets--team--arm/snapshots"
    kept.mkdir(parents=True)
    first = write_unknown(kept / "aaa")
    assert label(first, {0: True, 2: False}) == Path("data/team--arm.labels.json")
    later = write_unknown(kept / "bbb", episodes=5)  # it has grown
    for root in (first, later):
        dataset = open_dataset(root)
        assert dataset.labels == {0: True, 2: False} and survey(root).dataset.labels == dataset.labels
        assert "outcome of 2 episodes of team--arm is labelled" in dataset.notes[-1]
    other = write_robot(kept / "ccc", episodes=4, length=6, state=False)
    with pytest.raises(UserError, match=r"of another dataset \('aaa'\) or revision; move the file away"):
        open_dataset(other)
    assert beside(kept) == kept.with_name("snapshots.labels.json")  # no commit


def test_a_survey_counts_labels_and_says_what_is_wrong_with_them(tmp_path: Path) -> None:
    root = write_unknown(tmp_path / "arm")
    label(root, {0: True, 2: False})
    found = survey(root)
    assert found.success == (1, 2) and found.dataset.labels == {0: True, 2: False} and found.notes == []
    beside(root).write_text("[]")
    assert "holds no labels" in survey(root).damage[0]


def test_copies_carry_labels_along_and_a_dataset_that_grows_keeps_them(tmp_path: Path) -> None:
    root = write_unknown(tmp_path / "arm")
    label(root, {0: True, 2: False})
    write_episodes([open_dataset(root, [2, 0])], tmp_path / "part")
    assert episode_success(Dataset(tmp_path / "part")) == [False, True]  # facts from now on
    append_episodes(root, [open_dataset(tmp_path / "part")])
    assert episode_success(open_dataset(root)) == [True, None, False, None, False, True]
    assert json.loads(beside(root).read_text())["dataset"] == "arm"
