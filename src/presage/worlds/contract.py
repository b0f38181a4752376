"""What every vector environment of presage keeps of gymnasium's contract, whether it simulates or dreams.

Spaces, seeds that repeat, partial resets, masks of `info`, and one line for whatever cannot be meant: an action that is
not a number, an option that nobody reads, an environment that was never reset.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from presage.errors import UserError

Observation = dict[str, np.ndarray]

SEEDS = 2**32
"""Seeds of episodes lie below: numpy's older generators take no more."""


class ChunkEnv(gymnasium.vector.VectorEnv):
    """N environments stepped by action chunks (N, chunk, A). Autoreset is disabled: nothing restarts by itself.

    Observations: `image.<camera>` (N, size, size, 3) uint8 and, where there is one, `state` (N, S) float32.

    Args:
        actions: (chunk, A)
        bound: largest action.
    """

    def __init__(
        self, num_envs: int, cameras: Sequence[str], size: int, state_size: int, actions: tuple[int, int], bound: float
    ) -> None:
        self.num_envs, self.cameras, self.size = num_envs, tuple(cameras), size
        box = gymnasium.spaces.Box
        spaces: dict[str, gymnasium.Space] = {f"image.{c}": box(0, 255, (size, size, 3), np.uint8) for c in cameras}
        if state_size:
            spaces["state"] = box(-np.inf, np.inf, (state_size,), np.float32)
        self.single_observation_space = gymnasium.spaces.Dict(spaces)
        self.single_action_space = box(-bound, bound, actions, np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED, "render_modes": ["rgb_array"]}
        self.render_mode = "rgb_array"
        self._observation: Observation = {
            key: np.zeros((num_envs, *space.shape), space.dtype) for key, space in spaces.items() if space.shape
        }
        self._success = np.zeros(num_envs, bool)
        self._steps = np.zeros(num_envs, np.int64)
        self._started = np.zeros(num_envs, bool)
        self._generators: dict[int, np.random.Generator] = {}  # of the environments that were seeded

    def render(self) -> tuple[np.ndarray, ...]:  # type: ignore[override]
        """What each environment shows, cameras side by side: N pictures (size, cameras * size, 3) uint8."""
        self._check_open()
        self._check_started(np.arange(self.num_envs))
        if not self.cameras:
            raise UserError("render: there is no camera; make the world with cameras")
        return tuple(np.concatenate([self._observation[f"image.{c}"] for c in self.cameras], 2))

    # -- what is asked for --------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.closed:
            raise UserError("this world is closed; make a new one")

    def _check_started(self, rows: np.ndarray) -> None:
        missing = rows[~self._started[rows]]
        if len(missing):
            raise UserError(f"environment {missing[0]} was never reset; call reset first")

    def _read_options(self, options: dict[str, Any] | None, known: Sequence[str]) -> dict[str, Any]:
        """A copy, `options` without those that are None; gymnasium's wrappers read the original again."""
        self._check_open()
        if options is not None and not isinstance(options, dict):
            raise UserError(f"options: {type(options).__name__}, expected a dict of {', '.join(known)}")
        for name in options or {}:
            if name not in known:
                raise UserError(f"options: {name!r} is unknown; there are {', '.join(known)}")
        return {name: value for name, value in (options or {}).items() if value is not None}

    def _rows_to_reset(self, options: dict[str, Any]) -> np.ndarray:
        """Numbers of the environments that `reset_mask` (N,) bool asks for; all by default."""
        if "reset_mask" not in options:
            return np.arange(self.num_envs)
        mask = self._read_mask("reset_mask", options["reset_mask"])
        if not mask.any():
            raise UserError("reset_mask: no entry is True; leave it out to reset all environments")
        self._check_started(np.flatnonzero(~mask))  # they are returned as they are, so there must be something
        return np.flatnonzero(mask)

    def _read_mask(self, name: str, mask: Any) -> np.ndarray:
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            found = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
            raise UserError(f"{name}: {found}, expected a numpy array of bool, shape ({self.num_envs},)")
        return mask

    def _read_texts(self, name: str, texts: Any) -> list[str]:
        """One text per environment."""
        if isinstance(texts, str) or not isinstance(texts, Sequence | np.ndarray):
            raise UserError(f"{name}: {type(texts).__name__}, expected a list of {self.num_envs} texts")
        self._check_count(name, texts)
        wrong = [text for text in texts if not isinstance(text, str)]
        if wrong:
            raise UserError(f"{name}: {wrong[0]!r} is not a text")
        return [str(text) for text in texts]

    def _check_count(self, name: str, values: Sequence[Any] | np.ndarray) -> None:
        if len(values) != self.num_envs:
            raise UserError(f"{name}: {len(values)} entries for {self.num_envs} environments; give one for each")

    def _draw_seeds(self, seed: Any, rows: np.ndarray) -> list[int]:
        """Seeds (N,) of the episodes that start in `rows`. An environment that was seeded once draws its next seeds
        from a generator of its own, so they repeat whatever is reset beside it; others draw from `np_random`."""
        given = self._read_seeds(seed)
        if given[0] is not None and not isinstance(seed, Sequence | np.ndarray):
            self._np_random, self._np_random_seed = gymnasium.utils.seeding.np_random(given[0])
        seeds = [0] * self.num_envs
        for row in rows.tolist():
            own = given[row]
            if own is not None:
                self._generators[row] = np.random.default_rng(own)
            drawn = int(self._generators.get(row, self.np_random).integers(SEEDS)) if own is None else own
            seeds[row] = drawn
        return seeds

    def _read_seeds(self, seed: Any) -> list[int | None]:
        if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
            seed = [int(seed) + row for row in range(self.num_envs)]
        elif seed is None:
            seed = [None] * self.num_envs
        elif isinstance(seed, str) or not isinstance(seed, Sequence | np.ndarray):
            raise UserError(f"seed: {seed!r}, expected a whole number, a list of {self.num_envs}, or None")
        self._check_count("seed", seed)
        for own in seed:
            if own is not None and (
                isinstance(own, bool) or not isinstance(own, int | np.integer) or not 0 <= own < SEEDS
            ):
                raise UserError(f"seed: {own!r}; give whole numbers from 0 to {SEEDS - 1}, or None")
        return [None if own is None else int(own) for own in seed]

    def _read_actions(self, actions: Any, active: Any) -> tuple[np.ndarray, np.ndarray]:
        """Chunks (N, chunk, A) float32, and the numbers of the environments that are to execute theirs."""
        self._check_open()
        mask = np.ones(self.num_envs, bool) if active is None else self._read_mask("active", active)
        rows = np.flatnonzero(mask)
        self._check_started(rows)
        try:
            array = np.asarray(actions)
        except ValueError:
            raise UserError(f"actions: rows of different length, expected shape {self.action_space.shape}") from None
        if array.dtype.kind not in "fiu":
            raise UserError(f"actions: {array.dtype}, expected float32")
        if array.shape != self.action_space.shape:
            raise UserError(f"actions: shape {array.shape}, expected {self.action_space.shape}")
        with np.errstate(over="ignore"):
            chunks = array.astype(np.float32)
        for row, step, number in np.argwhere(~np.isfinite(chunks[rows])).tolist()[:1]:
            where = f"environment {rows[row]}, action {step} of its chunk, number {number}"
            raise UserError(f"actions: {array[rows[row], step, number]} ({where}); give finite numbers")
        return chunks, rows

    # -- what is answered ---------------------------------------------------------------------------------------------

    def _observed(self) -> Observation:
        return {key: value.copy() for key, value in self._observation.items()}

    def _masked(self, info: dict[str, Any], rows: np.ndarray) -> dict[str, Any]:
        """`info` with gymnasium's masks: `_<key>` (N,) bool says in which environments something happened."""
        mask = np.isin(np.arange(self.num_envs), rows)
        return info | {f"_{key}": mask.copy() for key in info}
