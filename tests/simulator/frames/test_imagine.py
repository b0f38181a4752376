"""A session as a model of frames: what follows from its noise, and what from the draw that is asked for."""

import numpy as np
from tests.tiny import tiny_model

from presage.simulator.frames.imagine import Shown, as_shipped, session_imagines


def test_a_draw_is_repeated_and_another_one_has_other_noise() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 1, 2, 32, 32, 3), dtype=np.uint8)
    shown = Shown(
        frames, np.zeros((2, 0, 4, 4), np.float32), np.zeros((2, 1, 4), np.float32), ["reach"] * 2, ("front", "top")
    )
    actions = rng.uniform(-1, 1, (2, 2, 4, 4)).astype(np.float32)
    model = tiny_model()
    imagine = session_imagines(model, as_shipped(1), seed=3)
    first, again, other = imagine(shown, actions), imagine(shown, actions, 0), imagine(shown, actions, 1)
    assert first.shape == (2, 2, 2, 32, 32, 3) and np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(other, session_imagines(model, as_shipped(1), seed=4)(shown, actions))
