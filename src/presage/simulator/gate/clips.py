"""What the gate asks about: clips of recorded episodes, and actions that are wrong in four ways.

Shapes: B clips, P frames that are shown first, N steps that are dreamed, C cameras of S pixels, A numbers of an action.
"""

from dataclasses import dataclass, replace

import numpy as np

from presage.errors import UserError
from presage.simulator.frames.imagine import Shown
from presage.worlds.recording import Recording

MOST_CLIPS = 4
"""of an episode, evenly over it, the first from its first frame"""
LEAST_STEPS = 2
WRONG = ("other episode", "zero", "repeated", "shuffled")


@dataclass(frozen=True, eq=False)
class Clips:
    """What a model is shown, what was then done, and what was then seen."""

    shown: Shown
    actions: np.ndarray  # (B, N, chunk, A) float32
    truth: np.ndarray  # (B, N, C, S, S, 3) uint8
    episode: np.ndarray  # (B,) place of its episode in the recording
    row: np.ndarray  # (B,) row of the last frame that is shown

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def steps(self) -> int:
        return self.actions.shape[1]

    @property
    def cameras(self) -> tuple[str, ...]:
        return self.shown.cameras

    def part(self, rows: np.ndarray) -> "Clips":
        """Some of them, by number."""
        s = self.shown
        shown = replace(
            s,
            frames=s.frames[rows],
            actions=s.actions[rows],
            states=None if s.states is None else s.states[rows],
            instructions=[s.instructions[i] for i in rows],
        )
        return Clips(shown, self.actions[rows], self.truth[rows], self.episode[rows], self.row[rows])


def cut(recording: Recording, past: int, steps: int, most: int = MOST_CLIPS) -> Clips:
    """Clips of all episodes that are long enough, of `steps` steps or, where that is less, of as many as three quarters
    of the episodes allow.

    Raises:
        UserError: no episode is long enough, or no clip has all of its actions.
    """
    fits = int(np.quantile(recording.length, 0.25, method="lower")) - past
    steps = min(steps, max(fits, LEAST_STEPS))
    where = recording.steps.root
    if recording.length.max() < past + steps:
        raise UserError(
            f"{where}: the longest episode has {recording.length.max()} model steps, and a dream of {steps} from "
            f"{past} frames needs {past + steps}; record longer ones, or choose a smaller --chunk or --past"
        )
    found = [(e, row) for e in range(len(recording)) for row in _begins(int(recording.length[e]), past, steps, most)]
    whole = [(e, row) for e, row in found if _recorded(recording, e, row, past, steps)]
    if not whole:
        raise UserError(f"{where}: no {steps} steps in a row whose actions were all recorded; nothing can be replayed")
    frames = [recording.frames(e)[row + 1 - past : row + 1 + steps] for e, row in whole]
    rows = [recording.row(e, row) for e, row in whole]
    actions = np.stack([recording.action[r + 1 - past : r + steps] for r in rows])
    states = np.stack([recording.state[r + 1 - past : r + 1] for r in rows]) if recording.state_dim else None
    told = [recording.instruction[e] for e, _ in whole]
    film = np.stack(frames)
    shown = Shown(film[:, :past], actions[:, : past - 1], states, told, recording.cameras)
    episodes, places = (np.array(each) for each in zip(*whole, strict=True))
    return Clips(shown, actions[:, past - 1 :], film[:, past:], episodes, places)


def _begins(length: int, past: int, steps: int, most: int) -> list[int]:
    """Rows of the last shown frame of clips that share no dreamed step."""
    rows = list(range(past - 1, length - steps, steps))
    if len(rows) <= most:
        return rows
    return [rows[i] for i in np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _recorded(recording: Recording, episode: int, row: int, past: int, steps: int) -> bool:
    first = recording.row(episode, row)
    return bool(recording.valid[first + 1 - past : first + steps].all())


def wrong_actions(clips: Clips, seed: int) -> dict[str, np.ndarray]:
    """Name -> (B, N, chunk, A): those of a random clip of another episode; none; the first chunk again and again; and
    the clip's own in another order.

    Raises:
        UserError: there is one episode alone.
    """
    if len(np.unique(clips.episode)) < 2:
        raise UserError("one episode alone: its actions can be compared with no others; give more episodes")
    rng = np.random.default_rng(seed)
    others = [int(rng.choice(np.flatnonzero(clips.episode != e))) for e in clips.episode]
    order = np.stack([_another_order(clips.steps, rng) for _ in range(len(clips))])
    return {
        "other episode": clips.actions[others],
        "zero": np.broadcast_to(rest(clips.actions), clips.actions.shape),
        "repeated": np.repeat(clips.actions[:, :1], clips.steps, 1),
        "shuffled": np.take_along_axis(clips.actions, order[:, :, None, None], 1),
    }


def rest(actions: np.ndarray) -> np.ndarray:
    """(A,) the action that asks for nothing: 0 where recorded actions (..., A) lie around it, else, where a number is a
    position, its median."""
    flat = actions.reshape(-1, actions.shape[-1])
    low, middle, high = np.quantile(flat, [0.01, 0.5, 0.99], axis=0)
    return np.where((low <= 0) & (high >= 0), 0.0, middle).astype(np.float32)


def _another_order(steps: int, rng: np.random.Generator) -> np.ndarray:
    order = rng.permutation(steps)
    return order if (order != np.arange(steps)).any() else np.roll(order, 1)
