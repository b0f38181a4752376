"""What the gate asks about: clips as they were recorded, and actions that are wrong as they are called."""

from pathlib import Path

import numpy as np
import pytest
from tests.simulator.gate.squares import recording, write_squares

from presage.errors import UserError
from presage.simulator.gate.clips import cut, rest, wrong_actions


def test_clips_are_what_was_recorded_from_the_first_frame_on(tmp_path: Path) -> None:
    recorded = recording(write_squares(tmp_path / "squares", episodes=3, rows=21, cameras=("front", "top")), chunk=2)
    clips = cut(recorded, past=2, steps=3)
    assert clips.cameras == ("front", "top") and clips.row.tolist() == [1, 4, 7] * 3  # 11 model steps
    for i, (e, row) in enumerate(zip(clips.episode, clips.row)):
        at = recorded.row(e, row)
        assert np.array_equal(clips.shown.frames[i], recorded.frames(e)[row - 1 : row + 1])
        assert np.array_equal(clips.truth[i], recorded.frames(e)[row + 1 : row + 4])
        assert np.array_equal(clips.shown.actions[i, 0], recorded.action[at - 1])
        assert np.array_equal(clips.actions[i], recorded.action[at : at + 3])
        assert clips.shown.states is not None and np.array_equal(clips.shown.states[i, 1], recorded.state[at])
    assert cut(recorded, past=1, steps=3, most=2).row.tolist() == [0, 6] * 3
    assert cut(recorded, past=1, steps=50).steps == 10  # as many as there are
    with pytest.raises(UserError, match="the longest episode has 11 model steps, and a dream of 2 from 10 frames"):
        cut(recorded, past=10, steps=3)


def test_wrong_actions_are_wrong_as_they_say(tmp_path: Path) -> None:
    clips = cut(recording(write_squares(tmp_path / "squares", episodes=6)), past=1, steps=8)
    wrong = wrong_actions(clips, seed=1)
    assert all(x.shape == clips.actions.shape for x in wrong.values())
    for i, actions in enumerate(wrong["other episode"]):
        whose = {int(clips.episode[j]) for j, own in enumerate(clips.actions) if np.array_equal(own, actions)}
        assert whose and clips.episode[i] not in whose
    assert not wrong["zero"].any()
    assert (wrong["repeated"] == clips.actions[:, :1]).all()
    assert np.array_equal(np.sort(wrong["shuffled"], 1), np.sort(clips.actions, 1))
    assert not np.array_equal(wrong["shuffled"], clips.actions)
    assert np.array_equal(wrong_actions(clips, 1)["other episode"], wrong["other episode"])


def test_rest_is_zero_for_motions_and_the_middle_for_positions() -> None:
    rng = np.random.default_rng(0)
    actions = np.stack([rng.uniform(-1, 1, 1000), rng.uniform(2, 4, 1000)], 1).astype(np.float32)
    assert rest(actions[:, None]) == pytest.approx([0, np.median(actions[:, 1])])
