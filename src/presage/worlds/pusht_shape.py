"""The T of Push-T as geometry. The block's frame has its origin in the centre of gravity; the stem points to +y."""

import numpy as np

ARENA = 512.0
"""Side length, pixels."""
RADIUS = 15.0
"""Of the agent, pixels."""
CENTRE = np.array([0.0, 45.0])
"""The block's centre of gravity in the coordinates that gym-pusht states positions in (origin: middle of the bar's
top)."""
BOXES = np.array(
    [
        [(-60, -15), (60, -15), (60, -45), (-60, -45)],  # bar
        [(-15, -15), (-15, 75), (15, 75), (15, -15)],  # stem
    ],
    float,
)
"""The two rectangles the T is made of, (2, 4, 2)."""
OUTLINE = np.array([(-60, -45), (60, -45), (60, -15), (15, -15), (15, 75), (-15, 75), (-15, -15), (-60, -15)], float)
NORMALS = np.array([(0, -1), (1, 0), (0, 1), (1, 0), (0, 1), (-1, 0), (0, 1), (-1, 0)], float)
"""Outward, of the edge that starts at the same corner of `OUTLINE`."""
INERTIA = 3000.0
"""Of the block, whose mass is 1 (gym-pusht gives the stem the bar's moment)."""


def rotation(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


GOAL_ANGLE = np.pi / 4
GOAL_CENTRE = np.array([256.0, 256.0]) + rotation(GOAL_ANGLE) @ CENTRE
