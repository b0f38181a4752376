"""A recording as a world: it can be reset to any recorded frame, and of the recorded actions it knows what came.

    world = RecordedWorld(recording, num_envs=4)
    observation, info = world.reset(options={"episode": [7, 7, 9, 12], "row": [0, 30, 0, 0]})
    observation, *_ = world.step(world.recorded_chunk())        # what was recorded next

Policies, dreams (`simulator.environment.DreamWorld`) and `rollout` take it like a simulator. What other actions would
have led to, only a simulator or a dream can say.

Shapes: R rows and E episodes of a recording, N environments, S pixels a side, A numbers of an action, D of the state.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.outcome import episode_success, row_success, valid_actions
from presage.episodes.robot import holds_chunks
from presage.errors import UserError
from presage.worlds.contract import ChunkEnv, Observation

KEPT = 16
"""Episodes whose frames stay in memory"""
SAME = 1e-4
"""Actions that differ by less, relative to their size, are the recorded ones"""


class Recording:
    """Episodes of model steps. Numbers are in memory, frames are decoded when somebody asks for an episode.

    cameras, size, chunk_shape (chunk, A), state_dim, fps: how it is looked at. action: (R, chunk, A), NaN where none
    was executed. state: (R, D). success: (E,) bool or None, where nobody knows. numbers: (E,) of the episodes in their
    dataset. held_out: whether the model that dreams of them is known not to have been trained on any.

    Args:
        steps: rows are model steps, one episode of them for each recorded one (`Steps` of a robot without overlap, or
            what `presage collect` recorded).
        middle: ((A,), (D,)) what stands where this robot has no number.
    """

    def __init__(
        self,
        steps: Dataset,
        cameras: Sequence[str],
        size: int,
        chunk_shape: tuple[int, int],
        state_dim: int = 0,
        numbers: Sequence[int] | None = None,
        middle: tuple[np.ndarray | float, np.ndarray | float] = (0.0, 0.0),
    ) -> None:
        self.steps, self.cameras, self.size = steps, tuple(cameras), size
        self.chunk_shape, self.state_dim, self.fps = chunk_shape, state_dim, steps.fps
        rows = steps.num_rows
        self.length = steps.lengths
        self.start = np.cumsum(self.length) - self.length
        self.numbers = [e.index for e in steps.episodes] if numbers is None else list(numbers)
        self.instruction = [e.instruction for e in steps.episodes]
        self.task = [str(e.info.get("task", e.instruction)) for e in steps.episodes]
        self.success = episode_success(steps)
        self._row_success = row_success(steps)
        self.valid = np.zeros(rows, bool)
        self.action = np.full((rows, *chunk_shape), np.nan, np.float32)
        if "action" in steps.features:
            self.valid = valid_actions(steps).astype(bool)
            acted = steps.column("action").reshape(rows, *chunk_shape)
            filled = np.where(np.isnan(acted), np.broadcast_to(middle[0], chunk_shape), acted)
            self.action = np.where(self.valid[:, None, None], filled, np.nan).astype(np.float32)
        self.state = np.zeros((rows, state_dim), np.float32)
        if state_dim:
            felt = steps.column("observation.state").reshape(rows, -1)
            self.state = np.where(np.isnan(felt), middle[1], felt).astype(np.float32)
        self.held_out = False
        self._kept: dict[int, np.ndarray] = {}
        self._first: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """Episodes E."""
        return len(self.length)

    def frames(self, episode: int) -> np.ndarray:
        """(T, cameras, S, S, 3) uint8 of an episode, by its place."""
        if episode not in self._kept:
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            seen = [next(iter(self.steps.iterate_squares([episode], c, self.size))) for c in self.cameras]
            self._kept[episode] = np.stack(seen, 1)
        return self._kept[episode]

    def look(self, episode: int, row: int) -> np.ndarray:
        """(cameras, S, S, 3) uint8 of one row. First ones stay in memory: every dream begins in one."""
        if row == 0:
            if episode not in self._first:
                self._first[episode] = self.frames(episode)[0].copy()
            return self._first[episode]
        seen: np.ndarray = self.frames(episode)[row]
        return seen

    def row(self, episode: int, row: int) -> int:
        """Its place among all rows."""
        return int(self.start[episode]) + row

    def actions(self, episode: int) -> np.ndarray:
        """(T, chunk, A) what was done from the first frame of an episode on, until an action is missing."""
        mine = slice(self.row(episode, 0), self.row(episode, int(self.length[episode])))
        return self.action[mine][np.logical_and.accumulate(self.valid[mine])]

    def action_range(self) -> tuple[np.ndarray, np.ndarray]:
        """((chunk, A), (chunk, A)) 1 % and 99 % quantiles of the recorded actions.

        Raises:
            UserError: none was recorded.
        """
        if not self.valid.any():
            raise UserError(f"{self.steps.root}: no action was recorded, so nothing says which ones are usual")
        low, high = np.quantile(self.action[self.valid], [0.01, 0.99], axis=0)
        return low, high

    def episodes_of(self, task: str) -> list[int]:
        """Places of the episodes of a task."""
        return [place for place, each in enumerate(self.task) if each == task]

    def succeeded(self, episode: int, row: int) -> bool:
        """Whether success was recorded before the frame of `row`; where no row says so, at the end of the episode."""
        first, length = self.row(episode, 0), int(self.length[episode])
        if self._row_success is not None and self._row_success[first : first + length].any():
            return bool(self._row_success[first : first + row].any())
        return bool(self.success[episode]) and row == length - 1


class RecordedWorld(ChunkEnv):
    """N environments, each of which stands at a row of a recorded episode.

    Observations, actions and `info` are those of `worlds.vector.VectorWorld`; actions have no bounds. `info` also has
    `episode` and `row` (N,), and `outcome`: True, False or None for how the episode ended. `truncated` says that the
    recording ends here.
    """

    def __init__(self, recording: Recording, num_envs: int = 1) -> None:
        cameras, size, state, actions = recording.cameras, recording.size, recording.state_dim, recording.chunk_shape
        super().__init__(num_envs, cameras, size, state, actions, bound=np.inf)
        self.recording, self.chunk = recording, actions[0]
        name = recording.steps.robot_type or "robot"
        self.robot = name if holds_chunks(recording.steps) else f"{name}_steps"
        """Robot of what is recorded in model steps"""
        self._episode, self._row = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.int64)

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Go to recorded frames: to the first of the episode that a seed names (seed s: the s-th of the recording,
        counted around), or where the options say.

        options: `episode` (N numbers, as in the dataset), `row` (N, of model steps; 0 by default), `task` (N texts:
        seeds count among the episodes of that task), `reset_mask` (N,) bool.

        Raises:
            UserError: there is no such episode, row or task, or an option is unknown.
        """
        options = self._read_options(options, ("task", "episode", "row", "reset_mask"))
        rows = self._rows_to_reset(options)
        seeds = self._draw_seeds(seed, rows)
        unsaid: list[None] = [None] * self.num_envs
        tasks = self._read_texts("task", options["task"]) if "task" in options else unsaid
        numbers = self._read_numbers("episode", options["episode"]) if "episode" in options else unsaid
        begins = self._read_numbers("row", options["row"]) if "row" in options else [0] * self.num_envs
        chosen = [self._choose(seeds[n], tasks[n], numbers[n]) for n in rows.tolist()]
        for n, episode in zip(rows.tolist(), chosen, strict=True):
            last = int(self.recording.length[episode]) - 1
            if not 0 <= begins[n] <= last:
                where = f"episode {self.recording.numbers[episode]}"
                raise UserError(f"row: {where} has rows 0 to {last} of model steps, not {begins[n]}")
        for n, episode in zip(rows.tolist(), chosen, strict=True):
            self._success[n], self._steps[n], self._started[n] = False, 0, True
            self._go(n, episode, begins[n])
        return self._observed(), self._info(rows)

    def step(  # type: ignore[override]
        self, actions: np.ndarray, active: np.ndarray | None = None
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Go on to what was recorded next; those not `active` (N,) stand still.

        Raises:
            UserError: other actions than the recorded ones, or the recording ends here.
        """
        chunks, asked = self._read_actions(actions, active)
        recorded = self.recorded_chunk(asked)
        for n in asked.tolist():
            where = f"row {self._row[n]} of episode {self.recording.numbers[self._episode[n]]}"
            if not np.allclose(chunks[n], recorded[n], rtol=SAME, atol=SAME):
                raise UserError(
                    f"environment {n}: other actions than those recorded at {where}: what they lead to, "
                    "a simulator knows, or a dream imagines (presage dream)"
                )
        before = self._success.copy()
        for n in asked.tolist():
            self._go(n, int(self._episode[n]), int(self._row[n]) + 1)
        self._steps[asked] += self.chunk
        ended = self._row == self.recording.length[self._episode] - 1
        reward = (self._success & ~before).astype(np.float64)
        return self._observed(), reward, self._success.copy(), ended, self._info(asked)

    def recorded_chunk(self, rows: np.ndarray | None = None) -> np.ndarray:
        """What was done next, (N, chunk, A) float32; zeros for environments that are not among `rows`.

        Raises:
            UserError: the recording of one of them ends here, or its action was not recorded.
        """
        chunks = np.zeros((self.num_envs, *self.recording.chunk_shape), np.float32)
        for n in (np.arange(self.num_envs) if rows is None else rows).tolist():
            episode, row = int(self._episode[n]), int(self._row[n])
            where = f"environment {n}: episode {self.recording.numbers[episode]}"
            if row == self.recording.length[episode] - 1:
                raise UserError(f"{where} ends at row {row}; reset it")
            if not self.recording.valid[self.recording.row(episode, row)]:
                raise UserError(f"{where} has no action at row {row}: it was not recorded")
            chunks[n] = self.recording.action[self.recording.row(episode, row)]
        return chunks

    def expert_chunk(self, active: np.ndarray | None = None) -> np.ndarray:
        """A recording has no expert to ask.

        Raises:
            UserError: always.
        """
        raise UserError("an expert acts in a simulator: a recording has the recorded actions alone (recorded_chunk)")

    def disturb(self, index: int, kind: str, seed: int = 0) -> Observation:
        """Nothing of what was recorded can be moved.

        Raises:
            UserError: always.
        """
        raise UserError(f"disturb: {kind!r} needs a simulator: nothing in a recording can be moved")

    def place(self, task: str, seed: int) -> int:
        """Of the episode that a seed names among those of a task."""
        return self._choose(seed, task, None)

    def _choose(self, seed: int, task: str | None, number: int | None) -> int:
        """The place of an episode."""
        recording = self.recording
        if number is not None:
            if number not in recording.numbers:
                known = ", ".join(map(str, recording.numbers[:8])) + (", ..." if len(recording) > 8 else "")
                raise UserError(f"episode: there is no {number}; the recording has {known}")
            return recording.numbers.index(number)
        among = [i for i, each in enumerate(recording.task) if task in (None, each)]
        if not among:
            raise UserError(f"task: no episode of {task!r}; there are {', '.join(sorted(set(recording.task)))}")
        return among[seed % len(among)]

    def _go(self, n: int, episode: int, row: int) -> None:
        self._episode[n], self._row[n] = episode, row
        for camera, seen in zip(self.cameras, self.recording.look(episode, row), strict=True):
            self._observation[f"image.{camera}"][n] = seen
        if self.recording.state_dim:
            self._observation["state"][n] = self.recording.state[self.recording.row(episode, row)]
        self._success[n] |= self.recording.succeeded(episode, row)

    def _read_numbers(self, name: str, values: Any) -> list[int]:
        array = np.asarray(values)
        if array.shape != (self.num_envs,) or array.dtype.kind not in "iu":
            raise UserError(f"{name}: give {self.num_envs} whole numbers, one for each environment")
        return [int(value) for value in array]

    def _info(self, rows: np.ndarray) -> dict[str, Any]:
        recording, at = self.recording, self._episode.tolist()
        info = {
            "success": self._success.copy(),
            "steps": self._steps.copy(),
            "task": [recording.task[e] for e in at],
            "instruction": [recording.instruction[e] for e in at],
            "episode": np.array([recording.numbers[e] for e in at]),
            "row": self._row.copy(),
            "outcome": [recording.success[e] for e in at],
        }
        return self._masked(info, rows)
