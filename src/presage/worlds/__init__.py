"""Where truth comes from: simulators as gymnasium vector environments, scripted experts and disturbances."""

from collections.abc import Sequence
from typing import Any

from presage.errors import UserError
from presage.worlds.instructions import ALL_TASKS, INSTRUCTIONS, MT10, draw_instruction, instructions
from presage.worlds.rollout import ExpertPolicy, RandomPolicy, RolloutResult, rollout
from presage.worlds.wordings import WORLDS

MT50 = ALL_TASKS

__all__ = [
    "ALL_TASKS",
    "MT10",
    "MT50",
    "WORLDS",
    "ExpertPolicy",
    "RandomPolicy",
    "RolloutResult",
    "draw_instruction",
    "instructions",
    "make_world",
    "rollout",
]


def make_world(name: str, tasks: Sequence[str] = (), **settings: Any) -> Any:
    """A simulator as a vector environment; `settings` are those of `vector.VectorWorld`.

    Args:
        name: a world ("metaworld", "pusht", "fetch") or one of its tasks.
        tasks: what is played there; by default the task named, or all tasks of the world.
    """
    if name not in WORLDS and name not in INSTRUCTIONS:
        raise UserError(f"unknown world {name!r}; choose from {', '.join(WORLDS)}, or name a task")
    from presage.worlds.vector import VectorWorld

    return VectorWorld(tasks or list(WORLDS.get(name, [name])), **settings)
