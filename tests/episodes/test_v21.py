"""LeRobotDataset v2.1 and v2.0 read like the v3.0 dataset they hold."""

import json
import shutil

import numpy as np
import pytest
from tests.episodes.samples import make_episode

from presage.episodes.dataset import Dataset
from presage.episodes.mixture import pooled_statistics
from presage.errors import UserError


def test_old_reads_like_new(root, old_root):
    new, old = Dataset(root), Dataset(old_root)
    assert old.version == "v2.1" and old.cameras == new.cameras and old.tasks == new.tasks
    assert old.lengths.tolist() == new.lengths.tolist() and old.fps == new.fps
    for name in ("action", "observation.state", "next.success", "index", "task_index"):
        np.testing.assert_array_equal(old.column(name), new.column(name))
        np.testing.assert_array_equal(old.recorded(name), new.recorded(name))
    for before, after in zip(old.episodes, new.episodes):
        assert (before.instruction, before.rows) == (after.instruction, after.rows)
        assert before.info == {"seed": 7}
        for camera in new.cameras:
            frames = old.frames(before.index, camera)
            np.testing.assert_array_equal(frames, new.frames(after.index, camera))


def test_episode_statistics_are_combined_exactly(root, old_root):
    new, old = Dataset(root).stats["observation.state"], Dataset(old_root).stats["observation.state"]
    assert set(old) == {"min", "max", "mean", "std", "count"}
    for figure, value in old.items():
        np.testing.assert_allclose(value, new[figure])


def test_statistics_of_v20_are_read_as_they_are(root, old_root):
    info = json.loads((old_root / "meta/info.json").read_text()) | {"codebase_version": "v2.0"}
    (old_root / "meta/info.json").write_text(json.dumps(info))
    shutil.copy(root / "meta/stats.json", old_root / "meta/stats.json")
    assert "q99" in Dataset(old_root).stats["observation.state"]


def test_pooled_statistics_are_exact_over_versions(root, old_root):
    new, old = Dataset(root), Dataset(old_root)
    pooled, alone = pooled_statistics([new, old], "action"), pooled_statistics([old], "action")
    for figure, value in new.stats["action"].items():
        np.testing.assert_allclose(alone[figure], value)
    np.testing.assert_allclose(pooled["mean"], new.stats["action"]["mean"])
    assert pooled["count"].tolist() == [2 * (3 + 4 + 6)]


def test_pooled_statistics_need_one_robot(root, build):
    episode = make_episode(0)
    episode.columns["action"] = episode.columns["action"][:, :3]
    other = build([episode], "other")
    with pytest.raises(UserError, match=r"other: column 'action' has shape \(3,\).*mix datasets of one robot only"):
        pooled_statistics([Dataset(root), Dataset(other)], "action")


def test_damaged_meta_is_one_line(old_root):
    path = old_root / "meta/episodes.jsonl"
    path.write_text(path.read_text()[:-5])
    with pytest.raises(UserError, match=r"episodes\.jsonl: cannot be read"):
        Dataset(old_root)
    path.unlink()
    with pytest.raises(UserError, match=r"episodes\.jsonl: the file is missing"):
        Dataset(old_root)
