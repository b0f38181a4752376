"""Play from recordings, without a simulator: a dream begins in a recorded frame, beside what was recorded after it.

A robot of which nothing but recordings is known is driven by one slider for each number of its action. The ends of a
slider are the 1 % and 99 % quantiles of what was recorded, and it stands where the recorded action is.

Shapes: A numbers of an action, in the model's own terms (`Recording`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from presage.episodes.robot import find_robot
from presage.episodes.steps import Steps
from presage.errors import UserError
from presage.interface.play.studio import UNCALIBRATED, Beginning
from presage.networks.robot import RobotModel
from presage.simulator.recordings import Sight
from presage.worlds.protocol import Observation
from presage.worlds.recording import RecordedWorld, Recording


class RecordedStudio:
    """Players in a recording: a `Stage`. Scenes are episodes, by the numbers of the dataset.

    Args:
        names: (A,) of the numbers of an action; empty where this robot has none.
        episode, row: where a new player begins; by default in the first frame of the episode that its scene counts to.

    Raises:
        UserError: no action was recorded, or there is no such frame.
    """

    recorded = True

    def __init__(
        self,
        model: RobotModel,
        recording: Recording,
        names: Sequence[str],
        use: str = "joint",
        threshold: float = UNCALIBRATED,
        players: int = 4,
        episode: int | None = None,
        row: int = 0,
    ) -> None:
        self.model, self.recording, self.names = model, recording, list(names)
        self.use, self.threshold, self.players = use, threshold, players
        self.recordings = 0
        low, high = recording.action_range()
        self.low, self.high = low.min(0), high.max(0)
        self._at = [(0, 0)] * players
        self._first = episode, row
        self._find(recording.numbers[0] if episode is None else episode, row)

    @property
    def robot(self) -> str:
        return RecordedWorld(self.recording).robot

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(self.recording.task))

    def begin(self, slot: int, scene: int) -> tuple[Beginning, str, int]:
        episode, row = self._first
        if episode is None:
            episode = self.recording.numbers[scene % len(self.recording)]
        return *self.start(slot, episode, row), episode

    def reset(self, slot: int, task: str, scene: int) -> Beginning:
        """The first frame of the episode that a scene counts to among those of a task.

        Raises:
            UserError: there is no such task.
        """
        among = self.recording.episodes_of(task)
        if not among:
            raise UserError(f"task {task!r} was not recorded; choose from {', '.join(self.tasks)}")
        return self.start(slot, self.recording.numbers[among[scene % len(among)]], 0)[0]

    def start(self, slot: int, episode: int, row: int) -> tuple[Beginning, str]:
        place = self._find(episode, row)
        self._at[slot] = place, row
        recording = self.recording
        success = recording.succeeded(place, row)
        return (self._seen(place, row), recording.instruction[place], success), recording.task[place]

    def step(self, slot: int, chunk: np.ndarray) -> tuple[Observation | None, bool]:
        """What was recorded a step later, whatever was done in the dream."""
        place, row = self._at[slot]
        if row + 1 >= self.recording.length[place]:
            return None, self.recording.succeeded(place, row)
        self._at[slot] = place, row + 1
        return self._seen(place, row + 1), self.recording.succeeded(place, row + 1)

    def held(self, action: np.ndarray) -> np.ndarray:
        chosen = self.low + (action + 1) / 2 * (self.high - self.low)
        return np.repeat(chosen[None].astype(np.float32), self.model.chunk_shape[0], 0)

    def bounded(self, chunk: np.ndarray) -> np.ndarray:
        return chunk.astype(np.float32)

    def recorded_chunk(self, slot: int) -> np.ndarray:
        place, row = self._at[slot]
        recording = self.recording
        if row + 1 >= recording.length[place] or not recording.valid[recording.row(place, row)]:
            raise UserError(f"episode {recording.numbers[place]}: no action was recorded after row {row}")
        return recording.action[recording.row(place, row)]

    def snapshot(self, slot: int) -> Any:
        return self._at[slot]

    def restore(self, slot: int, snapshot: Any) -> None:
        self._at[slot] = snapshot

    def disturb(self, slot: int, kind: str, seed: int) -> tuple[Observation, bool]:
        raise UserError(f"{kind!r} needs a simulator: nothing in a recording can be moved")

    def facts(self, task: str, scene: int) -> dict[str, str | int]:
        return {"task": task, "begun_in": scene}

    def where(self, slot: int) -> dict[str, Any]:
        """Episode and row, and the controls (A,) between -1 and 1 that mean what was done there."""
        place, row = self._at[slot]
        valid = self.recording.valid[self.recording.row(place, row)]
        done = self.recording.action[self.recording.row(place, row)][0] if valid else (self.low + self.high) / 2
        wide = np.maximum(self.high - self.low, 1e-9)
        rest = (2 * (done - self.low) / wide - 1).clip(-1, 1)
        return {"episode": self.recording.numbers[place], "row": row, "rest": rest.round(3).tolist()}

    def greeting(self, state: np.ndarray | None) -> dict[str, Any]:
        recording = self.recording
        bounds = zip(self.names, self.low.tolist(), self.high.tolist(), strict=True)
        return {
            "beside": "recording",
            "gripper": False,
            "close": 0.0,
            "steering": {c: [[1.0, 0.0], [0.0, 1.0]] for c in self.model.cameras},
            "disturbances": [],
            "episodes": list(zip(recording.numbers, recording.length.tolist(), strict=True)),
            "sliders": [list(each) for each in bounds],
        }

    def _find(self, episode: int, row: int) -> int:
        """The place of an episode that has this row."""
        numbers = self.recording.numbers
        if episode not in numbers:
            known = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
            what = "held-out episodes" if self.recording.held_out else "episodes at hand"
            raise UserError(f"episode {episode}: the {what} are {known}; --episode also takes another")
        place = numbers.index(episode)
        last = int(self.recording.length[place]) - 1
        if not 0 <= row <= last:
            raise UserError(f"row {row}: episode {episode} has rows 0 to {last} of model steps")
        return place

    def _seen(self, place: int, row: int) -> Observation:
        recording = self.recording
        pictures = recording.frames(place)[row]
        seen = {f"image.{camera}": pictures[slot][None] for slot, camera in enumerate(recording.cameras)}
        if recording.state_dim:
            seen["state"] = recording.state[recording.row(place, row)][None]
        return seen


def action_names(sight: Sight, recording: Recording) -> list[str]:
    """(A,) what the numbers of the model's action are to the robot of a recording; empty where it has none there. A
    name with + says how far from the state before it."""
    steps = recording.steps
    robot = steps.robot if isinstance(steps, Steps) else find_robot(sight.robots, steps)
    entries, names = sight.slots.action_entries(robot), [""] * sight.chunk_shape[1]
    relative = robot.relative or [-1] * len(entries)
    for entry, name, to in zip(entries, robot.action_names, relative, strict=True):
        names[entry] = f"{name} +" if to >= 0 else name
    return names
