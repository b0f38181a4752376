"""A search that has something to gain: best of N over a model that is as bad as its candidates."""

from functools import cache
from pathlib import Path

import torch

from presage.networks.robot import RobotModel
from presage.policy.grounded import GroundedPolicy
from presage.simulator.planning import CANDIDATES, Ranking, best_of, by_both
from presage.systems.checkpoint import open_model

PERTURBATION = 0.5
"""Spread of the candidates of a perturbed policy, which leaves search something to gain, in half action ranges."""


def perturbed(model: RobotModel, rank: Ranking = by_both, n: int = CANDIDATES, seed: int = 0) -> GroundedPolicy:
    """Search among `n` chunks of a model that is as bad as they are: each is its own choice, shifted by
    `PERTURBATION`."""
    return GroundedPolicy(model, best_of(n, spread=PERTURBATION, rank=rank, keep_own=False), seed=seed)


def perturbed_from(checkpoint: str, seed: int) -> GroundedPolicy:
    """For worker processes that record where such a search leads (`presage collect --planner`)."""
    return perturbed(_opened(checkpoint), seed=seed)


@cache
def _opened(checkpoint: str) -> RobotModel:
    torch.set_num_threads(1)  # the workers share the machine
    return open_model(Path(checkpoint))
