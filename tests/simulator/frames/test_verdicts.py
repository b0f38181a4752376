"""A judge that looks passes; one that calls everything success does not."""

from dataclasses import replace

import numpy as np
import pytest
from tests.tiny import tiny_model

from presage.networks.world_model import WorldModel
from presage.simulator.frames import verdicts
from presage.simulator.frames.imagine import Shown
from presage.simulator.frames.scenes import Scenes
from presage.simulator.frames.verdicts import dreamed_values, frame_values, outcome_figures, putback


@pytest.fixture(scope="module")
def ended(recorded: dict[str, Scenes]) -> Scenes:
    """Two knocks, one of which counts as a success at its end."""
    knock = recorded["knock"]
    success = np.zeros(knock.success.shape, bool)
    success[0, -1] = True
    return replace(knock, success=success)


def test_failures_that_are_called_success_are_hallucinated(ended: Scenes) -> None:
    wrong = outcome_figures([ended], [np.array([0.1, 0.9])], 0.5)
    assert (wrong["hallucinated"], wrong["missed"], wrong["judge_balanced_accuracy"]) == (1, 1, 0)
    right = outcome_figures([ended], [np.array([0.9, 0.1])], 0.5)
    assert (right["hallucinated"], right["missed"], right["true_failures"]) == (0, 0, 1)
    assert "missed" not in outcome_figures([replace(ended, success=ended.success & False)], [np.zeros(2)], 0.5)


def test_a_judge_that_sees_the_object_tells_a_success_from_one_that_was_put_back(
    ended: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = ended.at(ended.frames, ended.steps)[0]

    def looks(model: WorldModel, shown: Shown) -> np.ndarray:
        return (shown.frames[:, -1] == true).all((1, 2, 3, 4)).astype(float)

    model = tiny_model(size=64)
    monkeypatch.setattr(verdicts, "frame_values", looks)
    assert putback(model, [ended], 0.5)["putback_success"] == 0
    assert putback(model, [ended], 0.5)["success_called"] == 1
    monkeypatch.setattr(verdicts, "frame_values", lambda model, shown: np.ones(len(shown)))
    assert putback(model, [ended], 0.5)["putback_success"] == 1


def test_values_are_read_from_the_model(ended: Scenes) -> None:
    model = tiny_model(size=64)
    assert dreamed_values(model, ended).shape == (2,)
    shown = Shown(ended.frames[:, :1], ended.actions[:, :0], ended.states[:, :1], ended.instruction)
    values = frame_values(model, shown)
    assert ((values >= 0) & (values <= 1)).all() and len(set(values.tolist())) == 2
