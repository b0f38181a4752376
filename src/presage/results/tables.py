"""Episodes as the rows and rates that results keep."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from presage.measures.statistics import wilson

if TYPE_CHECKING:
    from presage.worlds.rollout import RolloutResult


def success_figures(name: str, successes: Sequence[bool]) -> dict[str, float]:
    """`{name, name_low, name_high}`: a success rate with its 95 % Wilson bounds."""
    rate = wilson(int(np.sum(successes)), len(successes))
    return {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}


def episode_rows(policy: str, results: "Sequence[RolloutResult]", world: str = "real") -> list[dict[str, Any]]:
    """One row an episode, as result files keep them: `world` is real (the simulator) or imagined (the dream), `steps`
    counts chunks until success or the end."""
    return [
        {
            "policy": policy,
            "world": world,
            "task": r.task,
            "seed": r.seed,
            "instruction": r.instruction,
            "success": r.success,
            "steps": r.steps,
        }
        for r in results
    ]
