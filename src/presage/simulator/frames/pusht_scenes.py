"""Scenes of Push-T: the agent sweeps through the block, pushes where it is not, meets it elsewhere, and pushes it in
different ways from one start. Nothing glides there, nothing can be held, and the block cannot be taken out."""

import numpy as np

from presage.simulator.frames.staging import Actions, Kind, Script, Setting, interfered, one_after_another
from presage.worlds.pusht import Simulation
from presage.worlds.pusht_expert import push_target
from presage.worlds.pusht_shape import ARENA

LOW, HIGH = 40.0, ARENA - 40.0
"""Where the agent is sent, pixels of the arena"""
NEAR, PATIENCE = 10.0, 40
"""Pixels from a place at which it counts as reached, and steps after which it is given up"""
CLEAR = 115.0
"""Pixels from the middle of the block at which the agent touches it nowhere"""

# -- motion -----------------------------------------------------------------------------------------------------------


def towards(place: np.ndarray) -> np.ndarray:
    """The action (2,) that sends the agent there."""
    return np.clip(place / (ARENA / 2) - 1.0, -1.0, 1.0)


def go(simulation: Simulation, to: np.ndarray, speed: float) -> Actions:
    """To a place (2,), its target at most `speed` pixels ahead."""
    for _ in range(PATIENCE):
        way = to - simulation.agent[:2]
        distance = np.linalg.norm(way)
        if distance < NEAR:
            return
        yield towards(simulation.agent[:2] + way * min(1.0, speed / float(distance)))


def stay(simulation: Simulation, steps: int = 10**6) -> Actions:
    """Where it is when that begins."""
    here = simulation.agent[:2].copy()
    for _ in range(steps):
        yield towards(here)


def roam(simulation: Simulation, seed: int) -> Actions:
    """To one place after the other."""
    rng = np.random.default_rng((seed, 24))
    while True:
        yield from go(simulation, rng.uniform(LOW, HIGH, 2), rng.uniform(20, 90))


def direction(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def put(simulation: Simulation, place: np.ndarray) -> None:
    """The agent, at rest."""
    simulation.agent = np.array([*np.clip(place, LOW, HIGH), 0.0, 0.0])


def in_the_middle(simulation: Simulation, rng: np.random.Generator) -> None:
    """The block, so that there is room to push it."""
    simulation.place(rng.uniform(190, 320, 2), rng)


# -- scenes -----------------------------------------------------------------------------------------------------------


def mistaken(simulation: Simulation, aside: np.ndarray, noise: float, rng: np.random.Generator) -> Actions:
    """The expert, told that the block is `aside` (2,) pixels of where it is; `noise` on its targets, in pixels."""
    offset = np.zeros(2)
    while True:
        if rng.random() < 0.15:
            offset = noise * rng.normal(size=2)
        body = simulation.block
        yield towards(push_target(body[:2] + aside, body[2], simulation.agent[:2], simulation.agent[2:]) + offset)


def as_planned(simulation: Simulation, seed: int, variant: int) -> Script:
    """The expert; in every fourth scene, random offsets disturb it all the time."""
    noise = 40.0 if seed // 10 % 4 == 3 else 0.0
    return Script(mistaken(simulation, np.zeros(2), noise, np.random.default_rng((seed, 20))))


def wander(simulation: Simulation, seed: int, variant: int) -> Script:
    """Random motion without end."""
    return Script(roam(simulation, seed))


def knock(simulation: Simulation, seed: int, variant: int) -> Script:
    """The agent sweeps through the block."""
    rng = np.random.default_rng((seed, 22))
    in_the_middle(simulation, rng)
    way, middle = direction(rng.uniform(0, 2 * np.pi)), simulation.block[:2].copy()
    across = rng.uniform(-25, 25) * np.array([-way[1], way[0]])
    put(simulation, middle + across - CLEAR * way)
    end = np.clip(middle + across + rng.uniform(20, 90) * way, LOW, HIGH)
    return Script(one_after_another(stay(simulation, 12), go(simulation, end, rng.uniform(15, 60)), stay(simulation)))


def miss(simulation: Simulation, seed: int, variant: int) -> Script:
    """The expert believes the block elsewhere."""
    rng = np.random.default_rng((seed, 23))
    return Script(mistaken(simulation, rng.uniform(60, 120) * direction(rng.uniform(0, 2 * np.pi)), 0.0, rng))


def branch(simulation: Simulation, seed: int, variant: int) -> Script:
    """From one start beside the block, pushes that differ in direction and length."""
    rng = np.random.default_rng((seed, 25))
    in_the_middle(simulation, rng)
    angle, middle = rng.uniform(0, 2 * np.pi), simulation.block[:2].copy()
    put(simulation, middle - CLEAR * direction(angle))
    drawn = np.random.default_rng((seed, 26, variant))
    turned = direction(angle + drawn.uniform(-0.6, 0.6))
    end = simulation.agent[:2] + turned * drawn.uniform(60, 210)
    push = go(simulation, np.clip(end, LOW, HIGH), 40.0)
    return Script(one_after_another(stay(simulation, 12), push, stay(simulation)))


TASKS = ("pusht",)
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("expert", TASKS, 4, 64, as_planned),
        Kind("wander", TASKS, 4, 96, wander, in_view=True),
        Kind("knock", TASKS, 4, 12, knock, least_motion=3.0),
        Kind("miss", TASKS, 4, 32, miss, in_view=True, fails=True),
        Kind("moved", TASKS, 4, 12, interfered("move", roam), in_view=True),
        Kind("branch", TASKS, 4, 8, branch, variants=5),
    )
}


def project(camera: str, points: np.ndarray, size: int) -> np.ndarray:
    """Places in the arena (..., D), the first two numbers of which are x and y -> (..., 2) column and row."""
    return points[..., :2] * (size / ARENA)


SETTING = Setting(
    robot="pusht",
    tasks=TASKS,
    cameras=("top",),
    kinds=KINDS,
    counts={"expert": 24, "wander": 12, "knock": 40, "miss": 20, "moved": 20, "branch": 16},
    tuning={"expert": 16, "knock": 20, "branch": 6},
    project=project,
    hand=lambda simulation: simulation.agent[:2],
    packages=("pymunk", "pillow"),
    moved=8.0,  # pixels of the arena: one of the picture; a turn counts as `Simulation.thing` says
    end=lambda simulation: simulation.stem,
)
