"""An episode is known again wherever it was copied to."""

from pathlib import Path

import pyarrow.parquet as pq
from tests.episodes.robots import put_nan, write_robot

from presage.episodes.dataset import Dataset
from presage.episodes.edit import write_episodes
from presage.episodes.marks import DIGITS, ONCE, all_marks, among, episode_marks


def test_a_copied_episode_keeps_its_mark_and_another_has_another(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm", episodes=4)
    marks = episode_marks(Dataset(root))
    assert len(set(marks)) == 4
    write_episodes([Dataset(root, [3, 1])], tmp_path / "some")
    assert set(episode_marks(Dataset(tmp_path / "some"))) == {marks[1], marks[3]}
    assert episode_marks(Dataset(root, [2])) == [marks[2]]
    assert all_marks([Dataset(root, [0]), Dataset(root, [0, 1])], marks[3]).split() == [marks[3], *marks[:2]]


def test_checkpoints_with_short_marks_still_know_their_episodes(tmp_path: Path) -> None:
    mark, other = episode_marks(Dataset(write_robot(tmp_path / "arm", episodes=2)))
    assert len(mark) == DIGITS
    for kept in ({mark}, {mark[:ONCE]}):
        assert among(mark, kept) and not among(other, kept)


def test_a_number_that_cannot_be_read_changes_no_other_mark(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm", episodes=3)
    clean = episode_marks(Dataset(root))
    put_nan(next((root / "data").rglob("*.parquet")), 31)
    marks = episode_marks(Dataset(root))
    assert (marks[0], marks[2]) == (clean[0], clean[2]) and marks[1] and marks[1] not in clean
    write_episodes([Dataset(root, [2, 1])], tmp_path / "some")
    assert episode_marks(Dataset(tmp_path / "some")) == [marks[2], marks[1]]


def test_a_column_that_cannot_be_read_leaves_the_others(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm")
    clean = episode_marks(Dataset(root))
    data = next((root / "data").rglob("*.parquet"))
    pq.write_table(pq.read_table(data).drop_columns(["observation.state"]), data)
    marks = episode_marks(Dataset(root))
    assert marks == episode_marks(Dataset(write_robot(tmp_path / "blind", state=False)))
    assert not set(marks) & set(clean)
    film = write_robot(tmp_path / "film", action=False, state=False)
    assert all(episode_marks(Dataset(film)))  # by what else was recorded
    pq.write_table(pq.read_table(data).drop_columns(["action"]), data)
    assert episode_marks(Dataset(root)) == ["", ""] and all_marks([Dataset(root), Dataset(film)]).split() == list(
        dict.fromkeys(episode_marks(Dataset(film)))
    )


def test_a_merged_episode_is_known_by_what_it_recorded(tmp_path: Path) -> None:
    parts = [
        Dataset(write_robot(tmp_path / "arm")),
        Dataset(write_robot(tmp_path / "blind", state=False)),
        Dataset(write_robot(tmp_path / "film", action=False, state=False)),
    ]
    write_episodes(parts, tmp_path / "all")
    assert episode_marks(Dataset(tmp_path / "all")) == [mark for part in parts for mark in episode_marks(part)]
