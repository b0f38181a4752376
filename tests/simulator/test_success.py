"""The threshold on predicted progress."""

import numpy as np
import pytest
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_model

from presage.errors import UserError
from presage.simulator.success import (
    Threshold,
    best_threshold,
    checkpoint_threshold,
    dreamed_progress,
    load_threshold,
    record_outcomes,
    save_threshold,
)


def test_the_threshold_separates_what_can_be_separated():
    found = best_threshold(np.array([0.1, 0.3, 0.5, 0.8, 0.9]), np.array([False, False, False, True, True]))
    assert 0.5 < found.threshold < 0.8 and found.balanced_accuracy == 1.0
    assert (found.successes, found.failures) == (2, 3)


def test_balanced_accuracy_counts_both_outcomes_alike():
    progress = np.array([0.9] * 9 + [0.1] + [0.05])
    success = np.array([True] * 9 + [True] + [False])
    assert best_threshold(progress, success).balanced_accuracy == 1.0
    with pytest.raises(ValueError, match="both outcomes"):
        best_threshold(progress[:10], success[:10])


def test_episodes_are_dreamed_again_with_their_own_actions():
    world = FakeWorld(4)
    recorded = record_outcomes(world, ["a", "b"], 1, max_steps=4, noise=(0.0, 0.5))
    assert len(recorded) == 6 and any(r.success for r in recorded) and not all(r.success for r in recorded)
    progress = dreamed_progress(tiny_model(), recorded, steps=1)
    assert progress.shape == (6,) and (progress >= 0).all() and (progress <= 1).all()


def test_the_threshold_is_kept_with_the_checkpoint(tmp_path):
    assert load_threshold(tmp_path) is None
    save_threshold(tmp_path, Threshold(0.6, 0.9, 10, 12))
    assert load_threshold(tmp_path) == Threshold(0.6, 0.9, 10, 12)
    assert checkpoint_threshold(tmp_path, tiny_model(), FakeWorld(2), ["a"]).threshold == 0.6
    (tmp_path / "success.json").write_text("{")
    with pytest.raises(UserError, match="success.json is damaged"):
        load_threshold(tmp_path)
