"""The world model as a gymnasium vector environment: the same observations, actions and `info` as a simulator.

A policy cannot tell which one it acts in, so `worlds.rollout.rollout` runs it in either.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from presage.errors import UserError
from presage.networks.world_model import WorldModel
from presage.policy.grounded import keep_rows
from presage.policy.protocol import Observation
from presage.timeline.session import Session
from presage.timeline.streams import STATE


class DreamWorld(gymnasium.vector.VectorEnv):
    """N imagined environments stepped by action chunks. Autoreset is disabled.

    Observations, actions and `info` are those of `worlds.vector.VectorWorld`; `info["progress"]` (N,) is the predicted
    progress, and `info["success"]` is latched as soon as it exceeds `threshold`.

    Args:
        world: where first frames come from: `reset` resets it, and it is never stepped.
        threshold: progress above which an imagined frame shows success (see `simulator/success.py`).
        steps: denoising steps of a frame (`Session.roll`).
    """

    def __init__(self, model: WorldModel, world: Any, threshold: float, steps: int = 0, seed: int = 0) -> None:
        config = model.config
        self.model, self.world, self.threshold = model, world, threshold
        self.steps, self.seed = steps, seed
        self.num_envs: int = world.num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED, "render_modes": []}
        box, size = gymnasium.spaces.Box, config.codec.size
        self.keys = [f"image.{c}" for c in config.cameras] + (["state"] if config.state_dim else [])
        spaces: dict[str, gymnasium.Space] = {key: box(0, 255, (size, size, 3), np.uint8) for key in self.keys}
        if config.state_dim:
            spaces["state"] = box(-np.inf, np.inf, (config.state_dim,), np.float32)
        self.single_observation_space = gymnasium.spaces.Dict(spaces)
        # No bounds: which actions a robot can execute is its business, not the dream's.
        self.single_action_space = box(-np.inf, np.inf, (config.chunk, config.action_dim), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(  # type: ignore[override]
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start from the first frames of `world`, or from `options["observation"]` with `options["instruction"]`."""
        options = dict(options or {})
        if "observation" in options:
            observation, instruction = options["observation"], list(options["instruction"])
            self._facts = {"task": list(options.get("task", [""] * self.num_envs)), "instruction": instruction}
        else:
            observation, info = self.world.reset(seed=seed, options=options)
            self._facts = {"task": list(info["task"]), "instruction": list(info["instruction"])}
        if len(self._facts["instruction"]) != self.num_envs:
            raise UserError(f"reset: {len(self._facts['instruction'])} instructions for {self.num_envs} environments")
        self.session = Session(self.model, self._facts["instruction"], float("nan"), self.seed)
        self.rows = np.arange(self.num_envs)
        self._progress = self.session.observe(observation).progress.cpu().numpy().copy()
        self._success = np.zeros(self.num_envs, bool)
        self._steps = np.zeros(self.num_envs, np.int64)
        self._observation = {name: observation[name].copy() for name in self.keys}
        return self._observed(), self._info()

    def step(  # type: ignore[override]
        self, actions: np.ndarray, active: np.ndarray | None = None
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Imagine the frames that the chunks (N, chunk, A) lead to. Rows not `active` stand still, for good.

        The reward is the gain in predicted progress.
        """
        active = np.ones(self.num_envs, bool) if active is None else np.asarray(active)
        if not active[self.rows].all():
            kept = np.flatnonzero(active[self.rows])
            keep_rows(self.session, kept)
            self.rows = self.rows[kept]
        reward = np.zeros(self.num_envs)
        if len(self.rows):
            block = self.session.roll(np.asarray(actions, np.float32)[self.rows], self.steps)
            for name, image in self.model.decode_images(block.values).items():
                self._observation[name][self.rows] = image
            if self.model.config.state_dim:
                self._observation["state"][self.rows] = self.model.decode_state(block.values[STATE])
            progress = block.progress.cpu().numpy()
            reward[self.rows] = progress - self._progress[self.rows]
            self._progress[self.rows] = progress
            self._success[self.rows] |= progress > self.threshold
            self._steps[self.rows] += self.model.config.chunk
        return self._observed(), reward, self._success.copy(), np.zeros(self.num_envs, bool), self._info()

    def _observed(self) -> Observation:
        return {name: x.copy() for name, x in self._observation.items()}

    def _info(self) -> dict[str, Any]:
        return {
            **self._facts,
            "success": self._success.copy(),
            "progress": self._progress.copy(),
            "steps": self._steps.copy(),
        }
