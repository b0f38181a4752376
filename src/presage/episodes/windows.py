"""Draw windows of consecutive rows for training."""

from collections.abc import Sequence

import numpy as np

from presage.errors import UserError


class Windows:
    """Windows of ``window`` rows, ``stride`` rows apart, that never leave their episode.

    Rows behind the end are clamped to the episode's last row and marked as padding (LeRobot's rule). A window starts
    at any row that leaves at least half of it inside the episode, and at row 0 of episodes too short even for that.
    Every start comes once per epoch, in an order that follows from the seed alone, so three numbers resume the draw.

    lengths: rows of each episode (E,), laid out one behind the other.
    first: windows start in the first so many rows of an episode; 0: anywhere.
    back: above 0, the first of the rows is another one, at most so many rows before the second: a view from earlier.
    before: windows may begin so many rows before their episode, whose first row is repeated there and is no padding: a
        robot that has not begun stands still. Without, what is asked of a window's later rows is never asked of an
        episode's first ones.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        window: int,
        stride: int = 1,
        seed: int = 0,
        first: int = 0,
        back: int = 0,
        before: int = 0,
    ):
        if window < 1 or stride < 1:
            raise UserError(f"window {window} and stride {stride} must be at least 1")
        lengths = np.asarray(lengths, dtype=np.int64)
        if len(lengths) == 0 or lengths.min() < 1:
            raise UserError("windows need at least one episode, and no episode may be empty; check the dataset")
        self.window, self._back = window, back
        window -= back > 0
        self._steps = np.arange(window, dtype=np.int64) * stride
        self._seed = seed
        begin = np.cumsum(lengths) - lengths
        inside = (window + 1) // 2
        starts = np.maximum(lengths - (inside - 1) * stride, 1)
        starts = np.minimum(starts, first) if first else starts
        starts += before
        self._begin, self._last = np.repeat(begin, starts), np.repeat(begin + lengths - 1, starts)
        self._start = np.arange(starts.sum()) - np.repeat(np.cumsum(starts) - starts, starts) + self._begin - before
        self._epoch = 0
        self._position = 0
        self._order = self._permutation(0)

    def __len__(self) -> int:
        """Windows in one epoch."""
        return len(self._start)

    def sample(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """The next ``batch`` windows: global rows (B, T) int64 and is_pad (B, T) bool."""
        chosen = np.empty(batch, dtype=np.int64)
        filled = 0
        while filled < batch:
            if self._position == len(self):
                self._epoch, self._position = self._epoch + 1, 0
                self._order = self._permutation(self._epoch)
            take = min(batch - filled, len(self) - self._position)
            chosen[filled : filled + take] = self._order[self._position : self._position + take]
            filled += take
            self._position += take
        rows = self._start[chosen, None] + self._steps
        if self._back:
            far = np.random.default_rng([self._seed, 1, self._epoch, self._position]).integers(1, self._back + 1, batch)
            rows = np.column_stack([rows[:, 0] - far, rows])
        first, last = self._begin[chosen, None], self._last[chosen, None]
        return rows.clip(first, last), rows > last

    def state(self) -> dict[str, int]:
        """Where the draw stands, as plain numbers for a checkpoint."""
        return {"seed": self._seed, "epoch": self._epoch, "position": self._position, "windows": len(self)}

    def load_state(self, state: dict[str, int]) -> None:
        """Continue from ``state()``. Raises UserError when it was taken over other data or with another seed."""
        for name, here in (("windows", len(self)), ("seed", self._seed)):
            if state[name] != here:
                raise UserError(
                    f"cannot resume: the checkpoint drew from {state[name]} {name}, here it is {here}; "
                    "resume with the same dataset, window and seed"
                )
        self._epoch, self._position = state["epoch"], state["position"]
        self._order = self._permutation(self._epoch)

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self))
