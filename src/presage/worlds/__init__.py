"""Where truth comes from: simulators as gymnasium vector environments, scripted experts and disturbances."""

from typing import Any

from presage.errors import UserError
from presage.worlds.instructions import ALL_TASKS, MT10, draw_instruction, instructions
from presage.worlds.rollout import ExpertPolicy, RandomPolicy, RolloutResult, rollout

MT50 = ALL_TASKS

__all__ = [
    "ALL_TASKS",
    "MT10",
    "MT50",
    "ExpertPolicy",
    "RandomPolicy",
    "RolloutResult",
    "draw_instruction",
    "instructions",
    "make_world",
    "rollout",
]


def make_world(name: str, **settings: Any) -> Any:
    """A simulator as a vector environment; `settings` are those of `vector.MetaWorld` (the only one: "metaworld")."""
    if name != "metaworld":
        raise UserError(f"unknown world {name!r}; there is 'metaworld'")
    from presage.worlds.vector import MetaWorld

    return MetaWorld(**settings)
