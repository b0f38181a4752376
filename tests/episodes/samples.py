"""Small episodes for the tests of presage.episodes."""

import numpy as np

from presage.episodes.episode import Episode

FPS = 5


def make_episode(seed: int, length: int = 6, size: int = 16, actions: bool = True) -> Episode:
    """A moving bright square on a smooth background, with actions, state, success, quality and facts."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(40, 120, size, dtype=np.uint8)
    frames = np.broadcast_to(ramp[None, :, None, None], (length, size, size, 3)).copy()
    for t in range(length):
        frames[t, size // 4 : size // 2, t % (size // 2) : t % (size // 2) + size // 4] = (220, 30, 60)
    columns = {
        "observation.state": rng.normal(size=(length, 4)).astype(np.float32),
        "next.success": np.arange(length) > length // 2,
        "quality": np.full(length, 0.5 if seed % 2 else 1.0, dtype=np.float32),
    }
    if actions:
        columns["action"] = rng.uniform(-1, 1, size=(length, 16)).astype(np.float32)
        columns["action.valid"] = np.arange(length) < length - 1
        columns["action"][-1] = 0
    facts = {"task": "push-v3", "seed": 600_000 + seed, "success": seed % 2 == 0, "noise": 0.1 * seed}
    instruction = "push the puck" if seed % 2 else "open the drawer"
    return Episode({"front": frames, "top": frames[:, ::-1].copy()}, columns, instruction, facts)
