"""How a scene is played: what happens in it is a script of a few lines, one file of them for each world.

A script is a generator of actions for an episode of one (task, seed, variant). Experts touch objects as planned, so
what they show can be learned by heart; in scenes the hand sweeps through things, misses them, meets things that are
elsewhere, and does different things from one start.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.worlds.behaviours import CHUNK
from presage.worlds.instructions import world_name

Actions = Iterator[np.ndarray]


@dataclass
class Script:
    """What happens after a reset, in order: `prepare`, which is not recorded; then a step of `acts` at a time."""

    acts: Actions
    prepare: Actions = field(default_factory=lambda: iter(()))
    interfere: Callable[[], None] = lambda: None
    """Called once, before the row `interfere_at` is seen"""
    interfere_at: int = -1
    restore: Callable[[], None] = lambda: None
    """Called when the episode is over, whatever happened"""
    factor: float = 0.0
    """What a variant varies, where that is a number"""


@dataclass(frozen=True)
class Kind:
    """A kind of scenes: `past` rows are shown, `steps` more are to be imagined.

    variants: episodes from the same seed; all of them belong to one group. Where an episode does not show what it is
    for, the next seed is tried.
    """

    name: str
    tasks: tuple[str, ...]
    past: int
    steps: int
    script: Callable[[Any, int, int], Script]
    variants: int = 1
    least_motion: float = 0.0  # pixels that the object has to move for a scene to be kept
    in_view: bool = False  # whether the whole object has to be seen at the end
    fails: bool = False  # whether the task has to end unsolved for a scene to be kept


@dataclass(frozen=True)
class Setting:
    """A world in which video models are measured.

    kinds: of its scenes, by name. counts: how many of each there are in a published figure; `branch` and `sliding` have
    several episodes each. tuning: on how many checkpoints are compared while they train.
    """

    robot: str
    tasks: tuple[str, ...]
    cameras: tuple[str, ...]
    kinds: Mapping[str, Kind]
    counts: Mapping[str, int]
    tuning: Mapping[str, int]
    project: Callable[[str, np.ndarray, int], np.ndarray]  # (camera, points (..., D), size) -> (..., 2) column, row
    hand: Callable[[Any], np.ndarray]  # of a simulation, for `project`
    packages: tuple[str, ...]  # whose versions decide what is recorded
    moved: float  # by how much `thing` has to differ for an object to count as moved
    end: Callable[[Any], np.ndarray] | None = None  # a second point of the object, where it matters how it is turned


def setting_of(world: str) -> Setting:
    """Of a world, by its name.

    Raises:
        UserError: there are no scenes of it.
    """
    if world not in SETTINGS:
        raise UserError(f"there are no scenes of {world}: dreams are measured in {' and '.join(SETTINGS)}")
    return importlib.import_module(f"presage.simulator.frames.{world}_scenes").SETTING


def setting_of_task(task: str) -> Setting:
    return setting_of(world_name(task))


def digest_of(setting: Setting, made_of: Sequence[Any]) -> str:
    """What recorded frames are kept under: a hash of what JSON has of them, and of whatever draws them."""
    return hashlib.sha256(json.dumps([*made_of, *map(version, setting.packages)]).encode()).hexdigest()[:10]


SETTINGS = ("metaworld", "pusht")


# -- motion -----------------------------------------------------------------------------------------------------------


def one_after_another(*parts: Actions) -> Actions:
    for part in parts:
        yield from part


def interfered(kind: str, acts: Callable[[Any, int], Actions]) -> Callable[[Any, int, int], Script]:
    """The world interferes with the object before the last frame that is shown, while the hand goes on as it was."""

    def script(simulation: Any, seed: int, variant: int) -> Script:
        return Script(acts(simulation, seed), interfere=lambda: simulation.disturb(kind, seed), interfere_at=2)

    return script


def stage(simulation: Any, kind: Kind, seed: int, variant: int, record: Callable[[], None]) -> tuple[Any, float]:
    """Play a scene; `record` is called at each of its rows. Returns actions (past - 1 + steps, CHUNK, A) float32, and
    the variant's factor."""
    simulation.reset(seed)
    script = kind.script(simulation, seed, variant)
    actions = []
    try:
        for action in script.prepare:
            simulation.step(action)
        for row in range(kind.past + kind.steps):
            if row == script.interfere_at:
                script.interfere()
            record()
            if row == kind.past + kind.steps - 1:
                break
            chunk = []
            for _ in range(CHUNK):
                chunk.append(np.clip(next(script.acts), -1, 1))
                simulation.step(chunk[-1])
            actions.append(chunk)
    finally:
        script.restore()
    return np.array(actions, np.float32), script.factor
