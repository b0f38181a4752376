"""Files of the user in a dataset's folder are carried over, or named where they are not."""

import os
from pathlib import Path

import pytest
from tests.episodes.edited import read_info
from tests.episodes.robots import write_robot

from presage.episodes.dataset import Dataset
from presage.episodes.edit import write_episodes
from presage.episodes.grow import NEW, OLD, append_episodes
from presage.errors import UserError

FILES = (
    "README.md",
    ".gitattributes",
    "meta/modality.json",
    "calibration/left.json",
    "data/notes.txt",
    "videos/a/b.txt",
)


def furnish(root: Path) -> None:
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "record.sh").write_text("#!/bin/sh")
    (root / "record.sh").chmod(0o755)
    os.utime(root / "README.md", (1, 1))
    (root / "empty").mkdir()
    (root / "latest").symlink_to("README.md")
    (root.parent / "elsewhere.txt").write_text("elsewhere")
    (root / "outside").symlink_to("../elsewhere.txt")
    (root / "dangling").symlink_to("gone")
    (root / "folder").symlink_to("calibration")
    (root / ".cache").mkdir()
    (root / ".cache/frames.npy").write_text("made again")


def assert_furnished(root: Path) -> None:
    for name in FILES:
        assert (root / name).read_text() == name
    assert os.access(root / "record.sh", os.X_OK) and (root / "README.md").stat().st_mtime == 1
    assert (root / "empty").is_dir() and not any((root / "empty").iterdir())
    assert os.readlink(root / "latest") == "README.md" and os.readlink(root / "dangling") == "gone"
    assert os.readlink(root / "folder") == "calibration" and (root / "folder/left.json").exists()
    assert (root / "outside").read_text() == "elsewhere"


def test_a_new_dataset_takes_what_its_only_source_has(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm")
    furnish(root)
    (root / ".git").mkdir()
    (root / ".git/HEAD").write_text("main")
    (tmp_path / "deep").mkdir()
    written = write_episodes([Dataset(root, [1])], tmp_path / "deep/out")
    assert_furnished(tmp_path / "deep/out")
    assert written.left == [(root, ".git")] and not (tmp_path / "deep/out/.cache").exists()


def test_several_sources_give_what_they_have_alike(tmp_path: Path) -> None:
    one, two = write_robot(tmp_path / "one"), write_robot(tmp_path / "two")
    furnish(one)
    (two / "README.md").write_text("another")
    for name in ("meta/modality.json", "calibration/left.json"):
        (two / name).parent.mkdir(exist_ok=True)
        (two / name).write_text(name)
    (two / "calibration/left.json").write_text("turned")
    written = write_episodes([Dataset(one), Dataset(two)], tmp_path / "out")
    assert (tmp_path / "out/meta/modality.json").read_text() == "meta/modality.json"
    assert not (tmp_path / "out/README.md").exists()
    assert {(two, "README.md"), (one, "README.md"), (two, "calibration/left.json")} <= set(written.left)


def test_a_new_dataset_inside_its_source(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm")
    furnish(root)
    for name in ("a", "b"):
        written = write_episodes([Dataset(root)], root / name)
        assert not (root / name / "a").exists() and not (root / name / name).exists()
    assert written.left == [(root, "a")]  # a dataset of its own is no file of this one
    assert_furnished(root / "b")


def test_growing_keeps_every_file_in_its_place(tmp_path: Path, old_root: Path) -> None:
    root, other = write_robot(tmp_path / "arm"), write_robot(tmp_path / "other")
    furnish(root)
    place, cache = root.stat().st_ino, root / ".cache/frames.npy"
    append_episodes(root, [Dataset(other)])
    assert len(Dataset(root).episodes) == 4 and root.stat().st_ino == place
    assert_furnished(root)
    assert cache.exists() and not (root / NEW).exists() and not (root / OLD).exists()
    (old_root / "meta/modality.json").write_text("{}")
    append_episodes(old_root, [Dataset(old_root.parent / "data")])
    assert read_info(old_root)["codebase_version"] == "v3.0" and (old_root / "meta/modality.json").exists()
    assert (
        not list(old_root.rglob("*.jsonl"))
        and not list(old_root.rglob("episode_*"))
        and len(Dataset(old_root).episodes) == 8
    )


def test_a_dataset_behind_links(tmp_path: Path) -> None:
    root, other = write_robot(tmp_path / "arm"), write_robot(tmp_path / "other")
    (tmp_path / "disk").mkdir()
    (root / "videos").rename(tmp_path / "disk/videos")
    (root / "videos").symlink_to(tmp_path / "disk/videos")
    (tmp_path / "disk/videos/notes.txt").write_text("kept")
    (tmp_path / "link").symlink_to("arm")
    write_episodes([Dataset(tmp_path / "link")], tmp_path / "copy")
    assert not (tmp_path / "copy/videos").is_symlink() and (tmp_path / "copy/videos/notes.txt").exists()
    append_episodes(tmp_path / "link", [Dataset(other)])
    assert (tmp_path / "link").is_symlink() and len(Dataset(root).episodes) == 4
    assert (root / "videos/notes.txt").read_text() == "kept"
    assert Dataset(root).frames(3, "front").shape == (31, 48, 64, 3)


def snapshot(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_what_would_be_lost_stops_growing(tmp_path: Path) -> None:
    root, other = write_robot(tmp_path / "arm"), write_robot(tmp_path / "other")
    orphan = root / "data/chunk-000/file-007.parquet"
    orphan.write_bytes((root / "data/chunk-000/file-000.parquet").read_bytes())
    before = snapshot(root)
    with pytest.raises(UserError, match="arm: data/chunk-000/file-007.parquet would be lost; move it elsewhere"):
        append_episodes(root, [Dataset(other)])
    with pytest.raises(UserError, match="arm: is the dataset itself"):
        append_episodes(root, [Dataset(root)])
    assert snapshot(root) == before
    written = write_episodes([Dataset(root)], tmp_path / "out")
    assert written.left == [(root, "data/chunk-000/file-007.parquet")]


@pytest.mark.parametrize("renamed", range(7))
def test_growing_that_is_stopped_anywhere_leaves_the_old_dataset(tmp_path: Path, monkeypatch, renamed: int) -> None:
    """Six folders change places: the old three leave, the new three come; then the old ones are done with."""
    root, other = write_robot(tmp_path / "arm"), write_robot(tmp_path / "other")
    furnish(root)
    before, rename, count = snapshot(root), os.rename, 0

    def stop(source: Path, target: Path) -> None:
        nonlocal count
        if Path(source).parent == root or Path(target).parent == root:
            count += 1
            if count == renamed + 2:  # the first puts the new dataset beside the old one
                raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", stop)
    with pytest.raises(KeyboardInterrupt):
        append_episodes(root, [Dataset(other)])
    monkeypatch.undo()
    after = snapshot(root)
    assert {name: data for name, data in after.items() if not name.startswith(".append")} == before or renamed == 6
    append_episodes(root, [Dataset(other)])
    assert len(Dataset(root).episodes) == 4
    assert_furnished(root)
    assert not [path.name for path in root.iterdir() if path.name.startswith(".append")]


def test_a_killed_exchange_is_undone_by_the_next(tmp_path: Path) -> None:
    root, other = write_robot(tmp_path / "arm"), write_robot(tmp_path / "other")
    (root / OLD).mkdir()
    for name in ("meta", "data"):
        (root / name).rename(root / OLD / name)
    (root / "data").mkdir()  # the new one, whose meta never came
    append_episodes(root, [Dataset(other)])
    assert len(Dataset(root).episodes) == 4 and not (root / OLD).exists()
