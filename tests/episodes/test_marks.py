"""An episode is known again wherever it was copied to."""

from pathlib import Path

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


def test_what_cannot_be_read_has_no_mark(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm")
    put_nan(next((root / "data").rglob("*.parquet")), 3)
    assert episode_marks(Dataset(root)) == []
    film = write_robot(tmp_path / "film", action=False, state=False)
    assert len(episode_marks(Dataset(film))) == 2  # by what else was recorded
