"""The ceiling of whoever must imagine the future: a world that shows what its expert would bring about, and a policy
that is told. It leaks the expert, so it is never an arm that a claim could win by.

Shapes: N environments, M rows, S pixels a side.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from presage.policy.executors import Acting, OpenLoop
from presage.timeline.session import Session
from presage.worlds.protocol import Observation
from presage.worlds.vector import VectorWorld

FUTURE = "future."
"""Before the names of what is observed"""


class Foretold:
    """A `VectorWorld` that also shows, as `future.image.<camera>` (N, M, S, S, 3), what would be seen in the next
    `rows` rows if its expert acted from now on. Where an episode is over that is worth nothing."""

    def __init__(self, world: VectorWorld, rows: int) -> None:
        self.world, self.rows, self.num_envs = world, rows, world.num_envs
        self.single_action_space = world.single_action_space

    def reset(self, seed: Any, options: dict[str, Any]) -> tuple[Observation, dict[str, Any]]:
        observation, info = self.world.reset(seed=seed, options=options)
        return self._foretell(observation, np.ones(self.num_envs, bool)), info

    def step(self, actions: np.ndarray, active: np.ndarray) -> Any:
        """As `VectorWorld.step`."""
        observation, *rest = self.world.step(actions, active=active)
        return self._foretell(observation, active), *rest

    def close(self) -> None:
        self.world.close()

    def _foretell(self, observation: Observation, active: np.ndarray) -> Observation:
        going = np.flatnonzero(active).tolist()
        before, seen = self.world.snapshot(going), []
        for _ in range(self.rows):
            seen.append(self.world.step(self.world.expert_chunk(active), active=active)[0])
        back = self.world.restore(going, before)
        future = {name: np.stack([row[name] for row in seen], 1) for name in observation if name.startswith("image.")}
        return back | {FUTURE + name: x for name, x in future.items()}


Told = Callable[[Session, dict[str, np.ndarray]], np.ndarray]
"""Session, and the future frames `image.<camera>` (B, M, S, S, 3) of its rows -> chunk (B, chunk, A)"""


class ToldPolicy(OpenLoop):
    """A policy in a `Foretold` world that looks and decides after every chunk."""

    def __init__(self, model: Acting, decide: Told, seed: int = 0, context: int | None = 0) -> None:
        super().__init__(model, self._plan, 1, context, seed=seed)
        self.decide = decide
        self.future: dict[str, np.ndarray] = {}

    def act(self, observation: Observation) -> np.ndarray:
        self.future = {k.removeprefix(FUTURE): x for k, x in observation.items() if k.startswith(FUTURE)}
        return super().act({k: x for k, x in observation.items() if not k.startswith(FUTURE)})

    def _plan(self, session: Session) -> np.ndarray:
        return self.decide(session, {name: x[self.rows] for name, x in self.future.items()})[None]
