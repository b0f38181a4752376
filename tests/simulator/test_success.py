"""The threshold on predicted value."""

import json
import shutil

import numpy as np
import pytest
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_model

import presage
from presage.errors import UserError
from presage.simulator.success import (
    best_threshold,
    calibrate,
    checkpoint_threshold,
    dreamed_value,
    load_threshold,
    record_outcomes,
)
from presage.systems.shipped import default_checkpoint
from presage.training.checkpoint import save_model, weights_hash
from presage.worlds import MT10


def test_the_threshold_separates_what_can_be_separated():
    found = best_threshold(np.array([0.1, 0.3, 0.5, 0.8, 0.9]), np.array([False, False, False, True, True]))
    assert 0.5 < found.threshold < 0.8 and found.balanced_accuracy == 1.0
    assert (found.successes, found.failures) == (2, 3)


def test_balanced_accuracy_counts_both_outcomes_alike():
    value = np.array([0.9] * 9 + [0.1] + [0.05])
    success = np.array([True] * 9 + [True] + [False])
    assert best_threshold(value, success).balanced_accuracy == 1.0
    with pytest.raises(ValueError, match="both outcomes"):
        best_threshold(value[:10], success[:10])


def test_episodes_are_dreamed_again_with_their_own_actions():
    world = FakeWorld(4)
    recorded = record_outcomes(world, ["a", "b"], 1, max_steps=4, noise=(0.0, 0.5))
    assert len(recorded) == 6 and any(r.success for r in recorded) and not all(r.success for r in recorded)
    value = dreamed_value(tiny_model(), recorded, steps=1)
    assert value.shape == (6,) and (value >= 0).all() and (value <= 1).all()


def test_tasks_that_always_end_alike_are_one_line():
    world = FakeWorld(4)
    world.expert_chunk = lambda active=None: np.zeros((4, 4, 4), np.float32)
    with pytest.raises(UserError, match="both fail in a: no threshold"):
        calibrate(tiny_model(), world, ["a"], episodes=1, max_steps=1)


# -- what a threshold belongs to
# ----------------------------------------------------------------------------------------


@pytest.fixture()
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return save_model(tiny_model(), tmp_path / "run" / "model", "a random model")


def threshold_for(folder, tasks):
    return checkpoint_threshold(folder, tiny_model(), FakeWorld(4), tasks, episodes=1)


def test_a_threshold_is_kept_beside_the_checkpoint_and_used_for_its_tasks(checkpoint, capsys):
    assert load_threshold(checkpoint, ["a"]) is None
    found = threshold_for(checkpoint, ["a", "b"])
    assert found.tasks == ("a", "b") and found.episodes == 1 and found.weights == weights_hash(checkpoint)
    assert "calibrating one" in capsys.readouterr().out
    for tasks in (["a", "b"], ["b", "a"], ["b"]):
        assert threshold_for(checkpoint, tasks) == load_threshold(checkpoint, tasks) == found
        assert "calibrating" not in capsys.readouterr().out
    threshold_for(checkpoint, ["b"])
    assert "calibrated on 2 tasks, of which 1 not asked for here" in capsys.readouterr().out


def test_other_tasks_get_a_threshold_of_their_own_and_none_is_lost(checkpoint):
    first = threshold_for(checkpoint, ["a"])
    assert load_threshold(checkpoint, ["a", "c"]) is None
    second = threshold_for(checkpoint, ["a", "c"])
    assert second.tasks == ("a", "c")
    assert load_threshold(checkpoint, ["a"]) == first and load_threshold(checkpoint, ["c", "a"]) == second


def test_other_weights_are_calibrated_again(checkpoint):
    first = threshold_for(checkpoint, ["a"])
    save_model(tiny_model(seed=1), checkpoint.parent / "other", "a random model")
    (checkpoint.parent / "other" / "model.safetensors").rename(checkpoint / "model.safetensors")
    assert load_threshold(checkpoint, ["a"]) is None
    again = threshold_for(checkpoint, ["a"])
    assert again.weights != first.weights and load_threshold(checkpoint, ["a"]) == again


def test_a_threshold_that_does_not_say_what_it_is_of_is_not_used(checkpoint):
    old = {"threshold": 0.6, "balanced_accuracy": 0.9, "successes": 10, "failures": 12}
    (checkpoint / "success.json").write_text(json.dumps(old))
    assert load_threshold(checkpoint, ["a"]) is None
    assert threshold_for(checkpoint, ["a"]) == load_threshold(checkpoint, ["a"])


def test_a_damaged_threshold_is_one_line(checkpoint):
    for content in ("{", "5"):
        (checkpoint / "success.json").write_text(content)
        with pytest.raises(UserError, match="success.json is damaged"):
            load_threshold(checkpoint, ["a"])


def test_nothing_is_written_into_presage_itself(checkpoint, tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "presage"
    shipped = package / "checkpoints" / "own"
    shutil.copytree(checkpoint, shipped)
    monkeypatch.setattr(presage, "__file__", str(package / "__init__.py"))
    before = sorted(package.rglob("*"))
    found = threshold_for(shipped, ["a"])
    assert sorted(package.rglob("*")) == before
    assert load_threshold(shipped, ["a"]) == found
    assert len(list((tmp_path / "cache" / "presage" / "success").glob(f"{found.weights}-*.json"))) == 1


def test_the_shipped_threshold_fits_the_shipped_weights_and_all_their_tasks():
    found = load_threshold(default_checkpoint(), MT10)
    assert found is not None and set(found.tasks) == set(MT10)
    assert load_threshold(default_checkpoint(), MT10[3:5]) == found
    assert load_threshold(default_checkpoint(), ["pusht"]) is None
