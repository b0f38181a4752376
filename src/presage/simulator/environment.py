"""The world model as a gymnasium vector environment: the same observations, actions and `info` as a simulator.

A policy cannot tell which one it acts in, so `worlds.rollout.rollout` runs it in either.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.networks.base import step, value_of
from presage.networks.names import STATE
from presage.networks.robot import RobotModel
from presage.timeline.session import Session
from presage.worlds.contract import ChunkEnv
from presage.worlds.protocol import Observation
from presage.worlds.rollout import episode_number


class DreamWorld(ChunkEnv):
    """N imagined environments stepped by action chunks. Autoreset is disabled.

    Observations, actions and `info` are those of `worlds.vector.VectorWorld`; `info["value"]` (N,) is the predicted
    value, and `info["success"]` is latched as soon as it exceeds `threshold`. Actions have the bounds of `world`.

    An episode's noise follows from `seed`, its task and its own seed, whichever episodes are dreamed beside it.

    Args:
        world: where first frames come from: `reset` resets it, and it is never stepped.
        threshold: value above which an imagined frame shows success (see `simulator/success.py`).
        steps: denoising steps of a frame, by default as many as the model takes (`networks.base.step`).
    """

    def __init__(
        self, model: RobotModel, world: Any, threshold: float, steps: int | None = None, seed: int = 0
    ) -> None:
        bound = float(np.max(world.single_action_space.high))
        super().__init__(world.num_envs, list(model.cameras), model.size, model.state_dim, model.chunk_shape, bound)
        self.model, self.world, self.threshold = model, world, threshold
        self.steps, self.seed = steps, seed
        self._task, self._instruction = [""] * self.num_envs, [""] * self.num_envs
        self._value = np.zeros(self.num_envs)
        self.dreams: list[tuple[Session, np.ndarray]] = []
        """Sessions, and the environments that their rows are: those that were reset together."""

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start from the first frames of `world`, or from `options["observation"]` with `options["instruction"]`.

        `seed`, and the options `task` and `reset_mask`, are those of `VectorWorld.reset`; `instruction` (N texts) also
        tells something else than the task's own.

        Raises:
            UserError: a seed is negative, an option is unknown or does not fit.
        """
        options = self._read_options(options, ("task", "instruction", "observation", "reset_mask"))
        rows = self._rows_to_reset(options)
        told = self._read_texts("instruction", options["instruction"]) if "instruction" in options else None
        if "observation" in options:
            first = self._read_observation(options["observation"])
            tasks = self._read_texts("task", options.get("task", [""] * self.num_envs))
            if told is None:
                raise UserError("options: an observation needs an instruction for each environment")
            seeds = self._draw_seeds(seed, rows)
        else:
            seeds = self._draw_seeds(seed, rows)
            passed = {name: options[name] for name in ("task", "reset_mask") if name in options}
            first, info = self.world.reset(seed=seeds, options=passed)
            tasks, told = list(info["task"]), told or list(info["instruction"])
        self._drop(rows)
        noise = [(self.seed, episode_number(tasks[row], seeds[row])) for row in rows]
        session = Session(self.model, [told[row] for row in rows], float("nan"), noise)
        session.observe({name: first[name][rows] for name in self._observation})
        self.dreams.append((session, rows))
        for row in rows:
            self._task[row], self._instruction[row] = tasks[row], told[row]
        for name, seen in self._observation.items():
            seen[rows] = first[name][rows]
        self._value[rows] = value_of(session).cpu().numpy()
        self._success[rows], self._steps[rows], self._started[rows] = False, 0, True
        return self._observed(), self._info(rows)

    def step(  # type: ignore[override]
        self, actions: np.ndarray, active: np.ndarray | None = None
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Imagine the frames that the chunks (N, chunk, A) lead to. Rows not `active` stand still, until they are
        reset.

        The reward is the gain in predicted value.

        Raises:
            UserError: actions of another shape, not finite, or for an environment that was not reset since it stood
                still.
        """
        chunks, asked = self._read_actions(actions, active)
        gone = np.setdiff1d(asked, [row for _, rows in self.dreams for row in rows])
        if len(gone):
            raise UserError(f"environment {gone[0]} was not active before, so its dream is dropped; reset it")
        self._drop(np.setdiff1d(np.arange(self.num_envs), asked))
        before = self._value.copy()
        for session, rows in self.dreams:
            block = step(session, chunks[rows], self.steps)
            for name, image in self.model.decode_images(block.values).items():
                self._observation[name][rows] = image
            if self.model.state_dim:
                self._observation["state"][rows] = self.model.decode_state(block.values[STATE])
            self._value[rows] = value_of(session).cpu().numpy()
        self._success[asked] |= self._value[asked] > self.threshold
        self._steps[asked] += self.model.chunk_shape[0]
        nowhere = np.zeros(self.num_envs, bool)
        return self._observed(), self._value - before, self._success.copy(), nowhere, self._info(asked)

    def _drop(self, gone: np.ndarray) -> None:
        """End the dreams of these environments."""
        dreams, self.dreams = self.dreams, []
        for session, rows in dreams:
            kept = np.flatnonzero(~np.isin(rows, gone))
            if len(kept) < len(rows):
                session.keep(kept)
            if len(kept):
                self.dreams.append((session, rows[kept]))

    def _read_observation(self, observation: Any) -> Observation:
        """What the model sees of `observation`, which may hold more."""
        for name, mine in self._observation.items():
            value = observation.get(name) if isinstance(observation, dict) else None
            if not isinstance(value, np.ndarray) or (value.dtype, value.shape) != (mine.dtype, mine.shape):
                found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else "missing"
                raise UserError(f"observation: {name!r} is {found}, expected {mine.dtype} {mine.shape}")
        return {name: observation[name] for name in self._observation}

    def _info(self, rows: np.ndarray) -> dict[str, Any]:
        info = {
            "task": list(self._task),
            "instruction": list(self._instruction),
            "success": self._success.copy(),
            "value": self._value.copy(),
            "steps": self._steps.copy(),
        }
        return self._masked(info, rows)
