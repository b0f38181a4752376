"""Scenes of Meta-World: the hand sweeps through things, misses them, does not close, meets things that are gone or
elsewhere, and pushes what glides."""

import numpy as np

from presage.simulator.frames.staging import Actions, Kind, Script, Setting, interfered, one_after_another
from presage.worlds import MT10
from presage.worlds.metaworld import Simulation, project
from presage.worlds.play import mistaken_expert

PUCKS = ("push-v3", "pick-place-v3", "reach-v3")
LOOSE = (*PUCKS, "peg-insert-side-v3")
GRASPED = ("pick-place-v3", "peg-insert-side-v3", "push-v3")
GAIN = 20.0
"""Per metre: a distance of 5 cm asks for a full action."""
NEAR = 0.012
"""Metres from a waypoint at which it counts as reached"""
PATIENCE = 40
"""Environment steps after which a waypoint is given up"""

# -- motion -----------------------------------------------------------------------------------------------------------


def go(simulation: Simulation, to: np.ndarray, gripper: float, speed: float = 1.0, patience: int = PATIENCE) -> Actions:
    """To a point (3,) in metres."""
    for _ in range(patience):
        offset = to - simulation.state[:3]
        if np.linalg.norm(offset) < NEAR:
            return
        yield np.append(np.clip(GAIN * offset, -speed, speed), gripper)


def stay(gripper: float, steps: int = 10**6) -> Actions:
    for _ in range(steps):
        yield np.array([0.0, 0.0, 0.0, gripper])


def direction(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle), 0.0])


def smooth(rng: np.random.Generator, scale: float = 1.0) -> Actions:
    """A random direction for 4 to 16 steps, with white noise on top, and then another."""
    while True:
        way = scale * rng.uniform(-1, 1, 4)
        for _ in range(4 * int(rng.integers(1, 5))):
            yield np.clip(way + 0.3 * scale * rng.normal(size=4), -1, 1)


def beside(simulation: Simulation, way: np.ndarray, distance: float, height: float) -> Actions:
    """Down to where a push along `way` begins, with closed gripper."""
    thing = simulation.thing
    start = thing - distance * way + [0.0, 0.0, height]
    yield from go(simulation, start + [0.0, 0.0, 0.12], 1.0, patience=80)
    yield from go(simulation, start, 1.0, patience=60)
    yield from stay(1.0, 4)


# -- scenes -----------------------------------------------------------------------------------------------------------


def as_planned(simulation: Simulation, seed: int, variant: int) -> Script:
    """The expert; in every fourth round of the tasks, random offsets disturb its hand all the time."""
    if seed // 100 % 4 < 3:
        return Script(mistaken_expert(simulation, None))
    offsets = smooth(np.random.default_rng((seed, 20)), 0.3)
    return Script(
        np.clip(a + b * [1, 1, 1, 0], -1, 1) for a, b in zip(mistaken_expert(simulation, None), offsets, strict=False)
    )


def wander(simulation: Simulation, seed: int, variant: int) -> Script:
    """Random motion without end."""
    return Script(smooth(np.random.default_rng((seed, 21))))


def knock(simulation: Simulation, seed: int, variant: int) -> Script:
    """The hand sweeps through the object."""
    rng = np.random.default_rng((seed, 22))
    way, thing = direction(rng.uniform(0, 2 * np.pi)), simulation.thing
    height, speed = rng.uniform(-0.005, 0.02), rng.uniform(0.5, 1.0)
    end = thing + rng.uniform(0.06, 0.16) * way + [0.0, 0.0, height]
    sweep = one_after_another(stay(1.0, 12), go(simulation, end, 1.0, speed), stay(1.0))
    return Script(sweep, beside(simulation, way, rng.uniform(0.08, 0.12), height))


def miss(simulation: Simulation, seed: int, variant: int) -> Script:
    """The expert believes the object elsewhere."""
    rng = np.random.default_rng((seed, 23))
    return Script(mistaken_expert(simulation, rng.uniform(0.04, 0.08) * direction(rng.uniform(0, 2 * np.pi))))


def open_gripper(simulation: Simulation, seed: int, variant: int) -> Script:
    """The expert's hand does not close."""
    return Script(mistaken_expert(simulation, None, -1.0))


def drift(simulation: Simulation, seed: int) -> Actions:
    """The hand moves at random."""
    return smooth(np.random.default_rng((seed, 24)), 0.5)


def branch(simulation: Simulation, seed: int, variant: int) -> Script:
    """From one start beside the object, pushes that differ in direction and length."""
    rng = np.random.default_rng((seed, 25))
    angle, thing = rng.uniform(0, 2 * np.pi), simulation.thing
    height = rng.uniform(-0.005, 0.015)
    drawn = np.random.default_rng((seed, 26, variant))
    turned = direction(angle + drawn.uniform(-0.6, 0.6))
    end = thing + turned * drawn.uniform(-0.02, 0.12) + [0.0, 0.0, height]
    push = one_after_another(stay(1.0, 12), go(simulation, end, 1.0), stay(1.0))
    return Script(push, beside(simulation, direction(angle), 0.08, height))


SLIDING = (1.0, 0.3, 0.15, 0.1)
"""Coefficients of friction under the object: Meta-World's own, and three on which a push makes it glide"""


def sliding(simulation: Simulation, seed: int, variant: int) -> Script:
    """Two pushes of an object that sticks or glides: the first is shown, the second to be imagined."""
    model = simulation.model
    body = model.jnt_bodyid[simulation.object_joint()]
    geoms = np.flatnonzero(model.geom_bodyid == body)
    before = model.geom_friction.copy(), model.geom_priority.copy()

    def restore() -> None:
        model.geom_friction[:], model.geom_priority[:] = before

    model.geom_priority[geoms], model.geom_friction[geoms, 0] = 1, SLIDING[variant]
    rng = np.random.default_rng((seed, 27))
    # Across the table first, so that both pushes stay in view.
    first = direction(rng.choice([0.0, np.pi]) + rng.uniform(-0.3, 0.3))
    second = direction(rng.choice([0.5, 1.5]) * np.pi + rng.uniform(-0.3, 0.3))

    def pushes() -> Actions:
        yield from stay(1.0, 4)
        yield from _push(simulation, first, 0.01)
        yield from beside(simulation, second, 0.08, 0.0)
        yield from stay(1.0, max(0, 4 * (SHOWN_PUSH - 1) - _steps(simulation)))
        yield from _push(simulation, second, 0.01)
        yield from stay(1.0)

    begun = [0]

    def _steps(simulation: Simulation) -> int:
        return simulation.steps - begun[0]

    def prepare() -> Actions:
        yield from beside(simulation, first, 0.08, 0.0)
        begun[0] = simulation.steps

    return Script(pushes(), prepare(), restore=restore, factor=SLIDING[variant])


SHOWN_PUSH = 26
"""Rows in which the first push is shown, and the hand comes round"""


def _push(simulation: Simulation, way: np.ndarray, beyond: float) -> Actions:
    """A short push, and up."""
    thing = simulation.thing
    yield from go(simulation, np.append((thing + beyond * way)[:2], simulation.state[2]), 1.0, 0.6)
    yield from go(simulation, simulation.state[:3] + [0.0, 0.0, 0.10], 1.0)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("expert", tuple(MT10), 4, 64, as_planned),
        Kind("wander", tuple(MT10), 4, 96, wander),
        Kind("knock", PUCKS, 4, 16, knock, least_motion=6.0),
        Kind("miss", tuple(MT10[1:]), 4, 32, miss, fails=True),
        Kind("open", GRASPED, 4, 24, open_gripper, fails=True),
        Kind("removed", LOOSE, 4, 12, interfered("remove", drift)),
        Kind("moved", tuple(MT10), 4, 12, interfered("move", drift)),
        Kind("branch", LOOSE, 4, 8, branch, variants=5),
        Kind("sliding", PUCKS, SHOWN_PUSH, 12, sliding, variants=len(SLIDING)),
    )
}

SETTING = Setting(
    robot="sawyer",
    tasks=tuple(MT10),
    cameras=("front", "top"),
    kinds=KINDS,
    counts={"expert": 40, "wander": 12, "knock": 40, "miss": 27, "open": 12, "removed": 12, "moved": 20, "branch": 16}
    | {"sliding": 12},
    tuning={"expert": 20, "knock": 20, "branch": 6},
    project=project,
    hand=lambda simulation: simulation.state[:3],
    packages=("mujoco", "metaworld"),
    moved=0.01,  # metres
)
