"""The scene `many` of the lab: three discs and three marks on a table, so that only the words say which goes where.

A magnetic hand, seen from above, carries the disc that it touches first and drops it on the first mark that it comes
to, for good. Six of the nine pairs of a colour and a place are recorded; three are held out. Blocks and relations of
UniPi's own world (Du et al. 2023, section 4.1) are of this kind.

It is a batch of N tables, in lengths of a side; y points down. Shapes: N tables, K = 3 discs or marks, S pixels a side.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from presage.codecs.text import embed_text
from presage.training.recorded import Recorded

COLOURS, PLACES = ("red", "green", "blue"), ("left", "middle", "right")
TASKS = tuple(f"{colour}-{place}" for colour in COLOURS for place in PLACES)
HELD_OUT = ("red-middle", "green-right", "blue-left")
SEEN = tuple(task for task in TASKS if task not in HELD_OUT)
CAMERA, CHUNK = "top", 4
SPEED = 0.05  # of the hand in a step of full action
REACH, DISC, HAND = 0.06, 0.065, 0.045
MARKS = np.array([[0.2, 0.14], [0.5, 0.14], [0.8, 0.14]])
TABLE, HAND_COLOUR, MARK_COLOUR = (226, 219, 205), (50, 50, 55), (250, 250, 250)
DISC_COLOURS = ((205, 50, 45), (60, 150, 70), (55, 85, 190))


def instruction(task: str) -> str:
    colour, place = task.split("-")
    return f"bring the {colour} disc to the {place} mark"


class Tables:
    """N tables with the interface that `worlds.rollout.rollout` needs. `wrong` (N,): a disc was dropped elsewhere."""

    def __init__(self, num_envs: int, size: int = 32) -> None:
        self.num_envs, self.size = num_envs, size
        line = (np.arange(size) + 0.5) / size
        self._grid = np.stack(np.meshgrid(line, line), -1)  # (S, S, 2): x, y

    def reset(self, seed: Sequence[int], options: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        self.tasks = list(options["task"])
        n = self.num_envs
        self.hand, self.discs = np.zeros((n, 2)), np.zeros((n, 3, 2))
        self.carried, self.done, self.success = np.full(n, -1), np.zeros(n, bool), np.zeros(n, bool)
        for i, each in enumerate(seed):
            rng = np.random.default_rng((each, 27))
            self.hand[i] = rng.uniform([0.3, 0.4], [0.7, 0.5])
            slots = np.array([0.2, 0.5, 0.8]) + rng.uniform(-0.06, 0.06, 3)
            self.discs[i] = np.stack([slots[rng.permutation(3)], rng.uniform(0.68, 0.88, 3)], -1)
        self.wanted = np.array([divmod(TASKS.index(task), 3) for task in self.tasks])
        return self._observation(), self._info()

    def step(self, chunks: np.ndarray, active: np.ndarray | None = None) -> tuple[Any, ...]:
        """Execute chunks (N, CHUNK, 2) in [-1, 1]."""
        moving = np.ones(self.num_envs, bool) if active is None else active
        for action in np.moveaxis(np.clip(chunks, -1, 1), 1, 0):
            self.hand = np.where(moving[:, None], np.clip(self.hand + SPEED * action, 0.03, 0.97), self.hand)
            self._touch(moving)
        zero = np.zeros(self.num_envs)
        return self._observation(), zero, self.success.copy(), zero.astype(bool), self._info()

    def _touch(self, moving: np.ndarray) -> None:
        apart = np.linalg.norm(self.discs - self.hand[:, None], axis=-1)
        takes = moving & ~self.done & (self.carried < 0) & (apart.min(1) < REACH)
        self.carried[takes] = apart.argmin(1)[takes]
        rows = np.flatnonzero(moving & (self.carried >= 0))
        self.discs[rows, self.carried[rows]] = self.hand[rows]
        near = np.linalg.norm(self.hand[:, None] - MARKS, axis=-1)
        for row in rows[near[rows].min(1) < REACH]:
            disc, mark = int(self.carried[row]), int(near[row].argmin())
            self.discs[row, disc] = MARKS[mark]
            self.carried[row], self.done[row] = -1, True
            self.success[row] = (disc, mark) == tuple(self.wanted[row])

    def expert_chunk(self, active: np.ndarray | None = None, noise: np.ndarray | None = None) -> np.ndarray:
        """Straight to the disc, straight to its mark, then still: (N, CHUNK, 2). noise (N, CHUNK, 2) is added on the
        way and corrected."""
        hand, carried = self.hand.copy(), self.carried.copy()
        rows, out = np.arange(self.num_envs), np.zeros((self.num_envs, CHUNK, 2), np.float32)
        disc = self.discs[rows, self.wanted[:, 0]]
        for i in range(CHUNK):
            goal = np.where((carried >= 0)[:, None], MARKS[self.wanted[:, 1]], disc)
            way = (goal - hand) / SPEED
            action = way / np.maximum(1.0, np.linalg.norm(way, axis=-1, keepdims=True))
            action = action + (0.0 if noise is None else noise[:, i])
            out[:, i] = np.where(self.done[:, None], 0.0, np.clip(action, -1, 1))
            hand = hand + SPEED * out[:, i]
            carried = np.where(np.linalg.norm(disc - hand, axis=-1) < REACH, self.wanted[:, 0], carried)
        return out

    def knock(self, rng: np.random.Generator) -> None:
        """Discs that lie free are shoved by 0.16 in any direction; none onto a mark."""
        angle = rng.uniform(0, 2 * np.pi, self.discs.shape[:2])
        shoved = self.discs + 0.16 * np.stack([np.cos(angle), np.sin(angle)], -1)
        shoved = np.clip(shoved, [0.1, 0.45], [0.9, 0.9])
        free = ~self.done[:, None] & (np.arange(3) != self.carried[:, None])
        self.discs = np.where(free[..., None], shoved, self.discs)

    def _info(self) -> dict[str, Any]:
        return {"success": self.success.copy(), "instruction": [instruction(t) for t in self.tasks], "task": self.tasks}

    def _observation(self) -> dict[str, np.ndarray]:
        image = np.broadcast_to(np.array(TABLE, float), (self.num_envs, self.size, self.size, 3))
        for mark in MARKS:
            image = self._paint(image, np.broadcast_to(mark, (self.num_envs, 2)), DISC + 0.03, MARK_COLOUR)
        for k in range(3):
            image = self._paint(image, self.discs[:, k], DISC, DISC_COLOURS[k])
        image = self._paint(image, self.hand, HAND, HAND_COLOUR)
        return {f"image.{CAMERA}": image.round().astype(np.uint8), "state": self.hand.astype(np.float32)}

    def _paint(self, image: np.ndarray, where: np.ndarray, radius: float, colour: tuple[int, int, int]) -> np.ndarray:
        """A round thing at (N, 2) over images (N, S, S, 3), its edge one pixel wide."""
        inside = radius - np.linalg.norm(self._grid - where[:, None, None], axis=-1)
        cover = np.clip(inside * self.size + 0.5, 0, 1)[..., None]
        return image * (1 - cover) + np.array(colour, float) * cover


def record_many(tasks: Sequence[str], episodes: int, rows: int = 10, seed: int = 0, size: int = 32) -> Recorded:
    """`episodes` demonstrations, tasks in turn, each of `rows` rows: whoever is done stands still."""
    tables = Tables(episodes, size)
    chosen = [tasks[i % len(tasks)] for i in range(episodes)]
    rng = np.random.default_rng((seed, 1))
    seen, _ = tables.reset([10**6 * (seed + 1) + i for i in range(episodes)], {"task": chosen})
    frames, states, actions = [], [], []
    for _ in range(rows):
        noise = rng.normal(0, 0.25, (episodes, 1, 2)) + rng.normal(0, 0.1, (episodes, CHUNK, 2))
        chunk = tables.expert_chunk(noise=noise)
        frames.append(seen[f"image.{CAMERA}"])
        states.append(seen["state"])
        actions.append(chunk)
        seen, *_ = tables.step(chunk)
    number = [tasks.index(task) for task in chosen]
    flat = episodes * rows
    return Recorded(
        {f"image.{CAMERA}": np.stack(frames, 1).reshape(flat, size, size, 3)},
        np.stack(actions, 1).reshape(flat, CHUNK, 2),
        np.ones(flat, bool),
        np.stack(states, 1).reshape(flat, 2),
        np.ones(flat, np.float32),
        np.repeat(number, rows),
        embed_text([instruction(task) for task in tasks]),
        np.full(episodes, rows),
        chosen,
    )
