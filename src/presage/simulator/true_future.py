"""The ceiling of planning: candidates are executed in a copy of the simulator, so their futures are true.

With the simulator's own reward that is an oracle. With the value that the model gives the true frames it tells what
planning would gain if the model imagined perfectly: what is missing from there is imagination's, the rest the judge's.

Shapes: B rows of a session, N candidates, H steps ahead, C numbers of an action.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from presage.networks.base import value_of
from presage.networks.executable import executable
from presage.simulator.planners import Score
from presage.timeline.session import Session


@dataclass(frozen=True)
class Futures:
    """What candidates truly lead to, after each of their steps."""

    reward: Tensor
    """(B, N, H) the simulator's own, of the last step"""
    value: Tensor | None
    """(B, N, H) what the model says of the frame that is seen then; None where nobody looked"""


@dataclass(frozen=True)
class Simulator:
    """world: in which the policy acts. copy: another one, of the same tasks and as many environments. rows: which
    environments the rows of a session are. looks: `copy` has the model's cameras."""

    world: Any
    copy: Any
    rows: Callable[[], np.ndarray]
    looks: bool = False

    def futures(self, session: Session, candidates: Tensor) -> Futures:
        """The session stays where it is."""
        b, n, horizon, _ = candidates.shape
        rows = np.arange(b)
        active = np.arange(self.copy.num_envs) < b
        snapshots = self.world.snapshot(self.rows())
        rewards, values = torch.zeros(b, n, horizon), torch.zeros(b, n, horizon)
        for i in range(n):
            self.copy.restore(rows, snapshots)
            twin = session.fork(1, seed=0)  # a seed: the noise of the session itself stays as it was
            for h in range(horizon):
                chunk = executable(session.model, candidates[:, i, h, None])
                padded = np.zeros((self.copy.num_envs, *chunk.shape[1:]), np.float32)
                padded[:b] = chunk
                observation, reward, *_ = self.copy.step(padded, active=active)
                rewards[:, i, h] = torch.from_numpy(reward[:b])
                if self.looks:
                    values[:, i, h] = self._value(twin, observation, chunk)
        return Futures(rewards, values if self.looks else None)

    @torch.inference_mode()
    def _value(self, twin: Session, observation: dict[str, np.ndarray], chunk: np.ndarray) -> Tensor:
        twin.observe({name: x[: len(chunk)] for name, x in observation.items()}, chunk)
        return value_of(twin).cpu()


def by_reward(simulator: Simulator) -> Score:
    """The oracle."""

    def score(session: Session, candidates: Tensor) -> Tensor:
        return simulator.futures(session, candidates).reward[..., -1]

    return score


def by_true_value(simulator: Simulator) -> Score:
    """The ceiling of imagination: what the model says of the true frames.

    Raises:
        ValueError: the simulator does not look.
    """

    def score(session: Session, candidates: Tensor) -> Tensor:
        value = simulator.futures(session, candidates).value
        if value is None:
            raise ValueError("the true frames have no value: the copy of the simulator has no cameras")
        return value[..., -1]

    return score
