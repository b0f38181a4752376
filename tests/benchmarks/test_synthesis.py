"""Labels of states alone, the control of labels that are read from videos."""

import numpy as np
from tests.tiny import tiny_model, tiny_system

from presage.benchmarks.synthesis import kinematic_labels
from presage.simulator.synthesis import Video
from presage.systems.checkpoint import open_model


def moving_states(size: int) -> Video:
    """Three steps in which the robot's state changes and no picture does."""
    frames = {camera: np.zeros((4, size, size, 3), np.uint8) for camera in ("front", "top")}
    states = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    return Video(frames, states, np.zeros(4), "open the drawer")


def test_labels_of_states_alone_move_the_robot_at_every_step():
    labels = kinematic_labels(tiny_model(), [moving_states(32)])
    assert labels is not None and labels[0].shape == (3, 4, 4)
    assert (np.abs(labels[0]).max((1, 2)) > 0.1).all()


def test_without_dynamics_of_the_state_there_are_no_such_labels(tmp_path):
    model = open_model(tiny_system(tmp_path / "model", "reference"))
    assert kinematic_labels(model, [moving_states(64)]) is None
