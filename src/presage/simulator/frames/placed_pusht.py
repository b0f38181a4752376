"""Moments of Push-T with the block anywhere. As in `placed.py`, of each there are three pictures."""

from typing import Any

import numpy as np
from shapely.geometry import Point, Polygon

from presage.simulator.frames.placed import EMPTY, MOMENTS, SIZE, Placed
from presage.simulator.frames.pusht_scenes import SETTING, project
from presage.worlds.pusht import Simulation
from presage.worlds.pusht_shape import ARENA, OUTLINE, RADIUS, rotation
from presage.worlds.world import OBJECT

CAMERAS = SETTING.cameras
TOUCHING = 0.5
"""Share of moments in which the agent is about the block"""


def moments(simulation: Simulation, renderer: Any, number: int, seed: int) -> Placed:
    """`MOMENTS` moments of one seed, half of which tell where the block's centre is (task `number`), half where the end
    of its stem is (`number` + 1, after the one task there is)."""
    rng = np.random.default_rng((seed, 12))
    simulation.reset(seed)
    images, masks, objects, hands, tasks = [], [], [], [], []
    for moment in range(MOMENTS):
        ends = moment % 2 == 1
        agent = rng.uniform(20, ARENA - 20, 2)
        simulation.agent = np.array([*agent, 0.0, 0.0])
        _place(simulation, rng, agent if rng.random() < TOUCHING else None)
        shown, seen, where = [], [], []
        for other in (False, True):
            if other:
                _place(simulation, rng, None)
            shown.append(simulation.frames(renderer))
            seen.append([simulation.segments(renderer)[c] == OBJECT for c in CAMERAS])
            where.append([project(c, simulation.stem if ends else simulation.thing, SIZE) for c in CAMERAS])
        shown.insert(EMPTY, simulation.empty_frames(renderer))
        images.append([[picture[c] for c in CAMERAS] for picture in shown])
        masks.append(seen)
        objects.append(where)
        hands.append([project(c, simulation.agent, SIZE) for c in CAMERAS])
        tasks.append(number + ends)
    return Placed(
        np.array(tasks),
        np.array(images, np.uint8),
        np.array(masks),
        np.array(objects, np.float32),
        np.array(hands, np.float32),
    )


def _place(simulation: Simulation, rng: np.random.Generator, near: np.ndarray | None) -> None:
    """Put the block anywhere, or near a place (2,), but not on the agent, which nobody would see."""
    agent, free = Point(simulation.agent[:2]), False
    while not free:
        where = rng.uniform(60, ARENA - 60, 2) if near is None else near + rng.normal(0, 60, 2)
        simulation.place(np.clip(where, 60, ARENA - 60), rng)
        corners = OUTLINE @ rotation(simulation.block[2]).T + simulation.block[:2]
        free = Polygon(corners).distance(agent) > RADIUS - 2
