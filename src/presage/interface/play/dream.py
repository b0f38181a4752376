"""One person's dream: what is imagined, what the simulator really does on the same actions, and the way back.

    dream = Dream(studio, slot=0)
    dream.reset("drawer-open-v3", scene=3)
    dream.step(np.array([0, 1, 0, -1]))       # a person's action, held for a chunk
    dream.step(None)                          # the model drives
    dream.rewind(0)                           # and from there another way: a branch

A `Moment` is one step of one branch. It keeps its own session, whose past is shared with its parent's, and the
simulator's snapshot; so returning to any moment is exact and costs nothing. Noise follows from the way here and the
seed
alone: the same actions from the same moment lead to the same future.
"""

from dataclasses import dataclass

import numpy as np

from presage.errors import UserError
from presage.interface.play.studio import Studio
from presage.networks.base import step, value_of
from presage.networks.names import ACTION, STATE
from presage.networks.robot import RobotModel
from presage.policy import make_policy
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.worlds.instructions import instructions
from presage.worlds.protocol import Observation, Policy

KEEP = 240
"""Moments that can be returned to: 48 seconds of robot time. A moment of the shipped model takes half a megabyte."""
SEEDS = 4
"""Futures whose disagreement is shown as uncertainty."""
PERSON, MODEL = "person", "policy"


@dataclass(frozen=True)
class Row:
    """What is recorded of a moment. Observations have one row: `image.<camera>` (1, S, S, 3) uint8, `state` (1, D)."""

    number: int
    parent: int | None
    depth: int
    """Steps since the dream began."""
    chunk: np.ndarray | None
    """(chunk, A) float32 that led here; None where something else did: a reset, a knock, grounding."""
    driver: str
    imagined: Observation
    real: Observation | None
    """None: no simulator is in the state of a recorded frame."""
    value: float
    """Predicted for the imagined frame, in [0, 1]."""
    reached: bool
    """Whether the predicted value has exceeded the threshold up to here."""
    success: bool
    """Whether the simulator has seen success up to here."""


@dataclass(frozen=True)
class Moment:
    row: Row
    session: Session
    snapshot: bytes | None
    spread: dict[str, np.ndarray]
    """camera -> (S, S) float32, standard deviation over futures in grey levels of 0 to 255; empty where not asked for.
    """


@dataclass
class Settings:
    """What a person chooses; the next step heeds it."""

    instruction: str = ""
    steps: int = 0
    """Denoising steps of a frame; 0: the robot is carried."""
    seed: int = 0
    """Of the dream's noise."""
    spread: bool = False
    """Whether several futures are imagined to see where they disagree."""


class Dream:
    """One player's dream, in one thread. `slot` is its environment in the studio's simulator."""

    def __init__(self, studio: Studio, slot: int, seed: int = 0) -> None:
        self.studio, self.slot = studio, slot
        self.settings = Settings(steps=studio.model.denoising, seed=seed)
        self.moments: dict[int, Moment] = {}
        self.now: Moment
        self.task, self.scene = studio.task, seed
        self._count = 0
        self._policy: Policy
        self._policy_at: tuple[int, str, int] | None = None
        """Moment, instruction and seed that the policy's own memory belongs to."""

    # -- beginnings
    # -----------------------------------------------------------------------------------------------------

    def reset(self, task: str, scene: int) -> Row:
        """Begin in the simulator: an episode's first frame, imagined from there on.

        Raises:
            UserError: there is no such task in this world.
        """
        if task not in self.studio.tasks:
            raise UserError(f"task {task!r} is not played here; choose from {', '.join(self.studio.tasks)}")
        observation, success = self.studio.slots.reset([self.slot], [task], [scene])
        self.task, self.scene = task, scene
        self.settings.instruction = instructions(task)[0]
        return self._begin(observation, observation, bool(success[0]))

    def start(self, observation: Observation, instruction: str) -> Row:
        """Begin from a recorded frame. No simulator is in its state, so nothing real runs beside the dream."""
        self.settings.instruction = instruction
        return self._begin(observation, None, False)

    def _begin(self, imagined: Observation, real: Observation | None, success: bool) -> Row:
        self.moments.clear()
        return self._ground(imagined, real, success, parent=None)

    def _ground(self, imagined: Observation, real: Observation | None, success: bool, parent: Moment | None) -> Row:
        """A moment that truth led to: a session that has seen one real frame and nothing before."""
        seed = (self.settings.seed, 0 if parent is None else parent.row.depth + 1)
        session = Session(self.studio.model, [self.settings.instruction], float("nan"), [seed])
        session.observe(self._seen(imagined))
        value = float(value_of(session)[0])
        return self._add(session, parent, None, imagined, real, value, success, {})

    # -- steps
    # ----------------------------------------------------------------------------------------------------------

    def step(self, action: np.ndarray | None) -> Row:
        """Hold `action` (A,) for a chunk, in the dream and in the simulator; None lets the model drive."""
        studio, now, settings = self.studio, self.now, self.settings
        model = studio.model
        chunk = (
            self._policy_chunk()
            if action is None
            else np.repeat(action[None].astype(np.float32), model.chunk_shape[0], 0)
        )
        chunk = np.clip(chunk, -1.0, 1.0)
        session = now.session.fork(1, settings.seed)
        session.instruct([settings.instruction])  # it may have changed since
        spread = disagreement(session.fork(SEEDS), chunk, settings.steps) if settings.spread else {}
        block = step(session, chunk[None], settings.steps)
        imagined: Observation = model.decode_images(block.values)
        if model.state_dim:
            imagined["state"] = model.decode_state(block.values[STATE])
        real, success = now.row.real, now.row.success
        if real is not None:
            real, reached, _, _ = studio.slots.step([self.slot], chunk[None])
            success = bool(reached[0])
        driver = MODEL if action is None else PERSON
        value = float(value_of(session)[0])
        row = self._add(session, now, chunk, imagined, real, value, success, spread, driver)
        if action is None:
            self._policy_at = self._here()
        return row

    def _policy_chunk(self) -> np.ndarray:
        """(chunk, A) that the model decides on, from what it imagines."""
        if self._policy_at != self._here():  # it has not led here: what it remembers is of another branch
            self._policy = make_policy(self.studio.use, self.studio.model, self.settings.seed)
            self._policy.reset([self.settings.instruction])
        self._policy_at = None  # until the step is taken
        return self._policy.act(self._seen(self.now.row.imagined))[0]

    def _here(self) -> tuple[int, str, int]:
        return self.now.row.number, self.settings.instruction, self.settings.seed

    def _seen(self, observation: Observation) -> Observation:
        """What the model looks at."""
        return {name: x for name, x in observation.items() if name != "state" or self.studio.model.state_dim}

    # -- interference
    # -----------------------------------------------------------------------------------------------------

    def rewind(self, number: int) -> Row:
        """Return to a moment; the next step begins a branch there.

        Raises:
            UserError: it is too long ago, or was never.
        """
        if number not in self.moments:
            raise UserError(f"moment {number} is not kept: the last {KEEP} can be returned to")
        self.now = self.moments[number]
        if self.now.snapshot is not None:
            self.studio.slots.restore([self.slot], [self.now.snapshot])
        return self.now.row

    def ground(self) -> Row:
        """Let the dream see the real frame, and forget what it imagined.

        Raises:
            UserError: there is no simulator beside this dream.
        """
        row = self.now.row
        if row.real is None:
            raise UserError("there is no simulator beside a dream that began from a recorded frame: nothing to look at")
        return self._ground(row.real, row.real, row.success, parent=self.now)

    def disturb(self, kind: str) -> Row:
        """Knock, move or remove the object in the simulator. The dream does not know until it is grounded."""
        now = self.now
        if now.row.real is None:
            raise UserError("there is no simulator beside a dream that began from a recorded frame: nothing to knock")
        real, success = self.studio.slots.disturb([self.slot], kind, self._count)
        row = now.row
        return self._add(now.session, now, None, row.imagined, real, row.value, bool(success[0]), now.spread)

    def instruct(self, instruction: str) -> None:
        """What is imagined from now on is imagined for other words; what was, stays."""
        self.settings.instruction = instruction

    def _add(
        self,
        session: Session,
        parent: Moment | None,
        chunk: np.ndarray | None,
        imagined: Observation,
        real: Observation | None,
        value: float,
        success: bool,
        spread: dict[str, np.ndarray],
        driver: str = PERSON,
    ) -> Row:
        """Append a moment to the tree, stand on it, and forget the oldest."""
        reached = value > self.studio.threshold or (parent is not None and chunk is not None and parent.row.reached)
        depth = 0 if parent is None else parent.row.depth + 1
        origin = None if parent is None else parent.row.number
        row = Row(self._count, origin, depth, chunk, driver, imagined, real, value, reached, success)
        snapshot = None if real is None else self.studio.slots.snapshot([self.slot])[0]
        self.now = self.moments[self._count] = Moment(row, session, snapshot, spread)
        self._count += 1
        self.moments.pop(self._count - 1 - KEEP, None)
        return row


def disagreement(futures: Session, chunk: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """Where futures of one past and one chunk (chunk, A) differ: camera -> (S, S) float32, standard deviation over the
    session's rows in grey levels of 0 to 255, mean over colours. They are denoised, in one step at least: a robot that
    is carried looks the same in all of them."""
    model: RobotModel = futures.model
    action = model.encode_action(np.repeat(chunk[None], futures.batch, 0))
    images = model.decode_images(futures.imagine(Schedule.forward(max(1, steps)), {ACTION: action}).values)
    return {name.removeprefix("image."): x.astype(np.float32).std(0).mean(-1) for name, x in images.items()}
