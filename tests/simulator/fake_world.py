"""A world of moving squares with Meta-World's interface, so that tests need no simulator."""

import gymnasium
import numpy as np

SIZE = 32


class FakeWorld:
    """The state is a point that the mean action of every chunk moves; success is reaching x > 0.5."""

    robot = "sawyer"

    def __init__(self, num_envs: int) -> None:
        self.num_envs, self.chunk = num_envs, 4
        self.single_action_space = gymnasium.spaces.Box(-1, 1, (4, 4), np.float32)

    def _observe(self):
        images = np.zeros((self.num_envs, SIZE, SIZE, 3), np.uint8)
        for row, (x, y) in enumerate(np.clip((self.state[:, :2] + 1) * 15, 0, 28).astype(int)):
            images[row, y : y + 4, x : x + 4] = 255
        observation = {"image.front": images, "image.top": 255 - images, "state": self.state.astype(np.float32)}
        info = {"success": self.success.copy(), "task": self.task, "instruction": [f"do {t}" for t in self.task]}
        return observation, info

    def reset(self, *, seed, options):
        self.task = list(options["task"])
        self.state = np.stack([np.random.default_rng(s).uniform(-0.5, 0.4, 4) for s in seed])
        self.success = np.zeros(self.num_envs, bool)
        return self._observe()  # of a partial reset, too, only the rows that were asked for are used

    def step(self, chunks, active=None):
        active = np.ones(self.num_envs, bool) if active is None else active
        self.state[active] += 0.2 * chunks[active].mean(1)
        self.success |= active & (self.state[:, 0] > 0.5)
        observation, info = self._observe()
        return observation, np.zeros(self.num_envs), info["success"], np.zeros(self.num_envs, bool), info

    def expert_chunk(self, active=None):
        return np.ones((self.num_envs, 4, 4), np.float32)
