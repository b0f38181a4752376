"""What the arm is made to do: pick up the cube, well or with a fault."""

from dataclasses import dataclass, replace

import numpy as np
from cell import CUBE, FPS, Arm

HOVER, GRASP, TOP = 0.08, CUBE + 0.012, 0.09
"""Heights (m) of the point between the jaws: before, while, and after it grasps. Higher up the gripper cannot point
down."""
ROOM = (0.0, -0.006)
"""m that the arm stays beside the cube, so that the fixed jaw, which is where the cube ends, does not land on it"""
CLOSING, END = 5, 8
"""Rows for which it waits for the jaws, and at the end"""
ROWS = 60
"""Longest episode"""


@dataclass(frozen=True)
class Behaviour:
    """How the cube is picked up; by default well."""

    speed: float = 0.1
    """m/s; half of it beside the cube"""
    offset: tuple[float, float] = (0.0, 0.0)
    """m beside the cube"""
    high: float = 0.0
    """m too high"""
    closes: float = 0.0
    """How far open the closed gripper is (%)"""
    late: int = 0
    """Rows that it closes too late"""
    drops: float = 1.0
    """Height (m) from which on the gripper is open again"""
    shakes: float = 0.3
    """Noise on the angles, degrees"""


def pick(arm: Arm, start: np.ndarray, cube: np.ndarray, how: Behaviour, seed: int) -> np.ndarray:
    """(T, 6) commands from a state (6,), with the cube at a place (2,) of the desk. They are all known in advance."""
    rng = np.random.default_rng((seed, 1))
    over = np.asarray(cube)[:2] + ROOM + how.offset
    begin = arm.place(start)
    hover, grasp, top = (np.append(over, z) for z in (HOVER, GRASP + how.high, TOP))
    there = np.concatenate([_line(begin, hover, how.speed), _line(hover, grasp, how.speed / 2)])
    up = _line(grasp, top, how.speed / 2)
    waits, ends = np.repeat(grasp[None], CLOSING, 0), np.repeat(top[None], END, 0)
    path = np.concatenate([there, waits, up, ends])
    row = np.arange(len(path))
    opened = (row < len(there) + how.late) | ((path[:, 2] > GRASP + how.drops) & (row >= len(there)))
    shaking = np.zeros(5)
    commands, angles = [], np.deg2rad(start[:5])
    for point, is_open in zip(path, opened):
        angles = arm.reach(point, angles)
        shaking = 0.7 * shaking + 0.7 * rng.normal(0, how.shakes, 5)  # its spread stays as large as one draw's
        command = arm.command(angles, 100.0 if is_open else how.closes)
        commands.append(command + np.append(shaking, 0))
    return np.array(commands[:ROWS], np.float32)


def wander(arm: Arm, start: np.ndarray, seed: int) -> np.ndarray:
    """(T, 6) commands over the desk, from place to place, with the gripper at will."""
    rng = np.random.default_rng((seed, 2))
    point, angles, commands = arm.place(start), np.deg2rad(start[:5]), []
    while len(commands) < ROWS - 20:
        target = rng.uniform((0.16, -0.1, 0.03), (0.26, 0.1, 0.09))
        opening = rng.choice([0.0, 50.0, 100.0])
        for each in _line(point, target, rng.uniform(0.06, 0.12)):
            angles = arm.reach(each, angles)
            commands.append(arm.command(angles, opening))
        point = target
    return np.array(commands[:ROWS], np.float32)


FAULTS = {"none": 0.5, "beside": 0.2, "high": 0.06, "open": 0.06, "late": 0.06, "drops": 0.06, "wanders": 0.06}
"""How often each is recorded"""


def somehow(arm: Arm, start: np.ndarray, cube: np.ndarray, seed: int) -> np.ndarray:
    """(T, 6) commands of a recorded episode: the cube is picked up in half of them, missed or lost in the others."""
    rng = np.random.default_rng((seed, 3))
    how = Behaviour(speed=rng.uniform(0.08, 0.13), shakes=rng.choice([0.2, 0.5, 1.0]))
    fault = rng.choice(list(FAULTS), p=list(FAULTS.values()))
    if fault == "wanders":
        return wander(arm, start, seed)
    if fault == "beside":
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.015, 0.05)
        how = replace(how, offset=(far * np.cos(angle), far * np.sin(angle)))
    faults = {
        "high": {"high": rng.uniform(0.015, 0.04)},
        "open": {"closes": rng.uniform(60, 100)},
        "late": {"late": int(rng.integers(7, 15))},
        "drops": {"drops": rng.uniform(0.01, 0.03)},
    }
    return pick(arm, start, cube, replace(how, **faults.get(fault, {})), seed)


def nearly(arm: Arm, start: np.ndarray, cube: np.ndarray, seed: int) -> np.ndarray:
    """(T, 6) commands of an episode between done well and missed: a little beside, high, late, fast or shaky."""
    rng = np.random.default_rng((seed, 4))
    angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.025) * (rng.random() < 0.6)
    how = Behaviour(
        speed=rng.uniform(0.08, 0.27),
        shakes=rng.choice([0.3, 1.0, 2.0, 4.0]),
        offset=(far * np.cos(angle), far * np.sin(angle)),
        high=rng.uniform(0, 0.025) * (rng.random() < 0.3),
        late=int(rng.integers(1, 10)) * int(rng.random() < 0.3),
    )
    return pick(arm, start, cube, how, seed)


def _line(begin: np.ndarray, end: np.ndarray, speed: float) -> np.ndarray:
    """(T, 3) places on the way, without the first."""
    count = max(1, int(np.ceil(np.linalg.norm(end - begin) * FPS / speed)))
    return begin + (end - begin) * np.arange(1, count + 1)[:, None] / count
