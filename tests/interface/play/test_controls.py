"""What is held while driving reaches the next step, however short."""

import numpy as np
import pytest

from presage.interface.play.controls import Controls


def test_a_tap_between_two_steps_is_not_lost() -> None:
    controls = Controls(2)
    press, release = np.array([1, 0], np.float32), np.zeros(2, np.float32)
    controls.change(press, 1.0)
    controls.change(release, 2.0)
    assert controls.urgent
    assert (controls.heed() == press).all() and controls.stamp == 1
    assert (controls.heed() == release).all() and controls.stamp == 2
    assert (controls.heed() == release).all() and not controls.urgent
    for i in range(50):  # a stick that glides: only where it is counts, and no step is asked for
        controls.change(np.array([i / 100, 0], np.float32), 3.0 + i)
    assert not controls.urgent and controls.heed()[0] == pytest.approx(0.49)
