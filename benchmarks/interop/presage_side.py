"""What presage alone does with a checkpoint: python benchmarks/interop/presage_side.py CHECKPOINT ACTIONS.npz

`bridge.py` compares with it, in the same environment and, through the file, across versions of torch.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from presage.networks.robot import RobotModel
from presage.policy import make_policy
from presage.systems.checkpoint import open_model

ROWS, STEPS = 2, 6
TASKS = ["open the drawer", "close the window"]


def observations(model: RobotModel) -> list[dict[str, np.ndarray]]:
    """What the world shows in some steps, the same wherever this runs."""
    rng, size = np.random.default_rng(3), model.size
    return [
        {
            **{f"image.{c}": rng.integers(0, 256, (ROWS, size, size, 3), dtype=np.uint8) for c in model.cameras},
            "state": rng.uniform(0, 0.6, (ROWS, model.state_dim)).astype(np.float32),
        }
        for _ in range(STEPS)
    ]


def presage_actions(checkpoint: Path) -> np.ndarray:
    """(STEPS, ROWS, chunk, A)."""
    model = open_model(checkpoint, torch.device("cpu"))
    policy = make_policy("joint", model)
    policy.reset(TASKS)
    return np.stack([policy.act(observation) for observation in observations(model)])


if __name__ == "__main__":
    np.savez(sys.argv[2], actions=presage_actions(Path(sys.argv[1])))
