"""One person's dream: what is imagined, what the simulator really does on the same actions or what was recorded, and
the way back.

    dream = Dream(studio, slot=0)
    dream.reset("drawer-open-v3", scene=3)
    dream.step(np.array([0, 1, 0, -1]))       # a person's action, held for a chunk
    dream.step(None)                          # the model drives
    dream.rewind(0)                           # and from there another way: a branch

A `Moment` is one step of one branch. It keeps its own session, whose past is shared with its parent's, and the
simulator's snapshot; so returning to any moment is exact and costs nothing. Noise follows from the way here and the
seed alone: the same actions from the same moment lead to the same future.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.interface.play.studio import Beginning, Stage
from presage.networks.base import step, value_of
from presage.networks.names import ACTION, STATE
from presage.networks.robot import RobotModel
from presage.policy import make_policy
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.worlds.protocol import Observation, Policy

KEEP = 240
"""Moments that can be returned to: 48 seconds of robot time. A moment of the shipped model takes half a megabyte."""
SEEDS = 4
"""Futures whose disagreement is shown as uncertainty."""
PERSON, MODEL, RECORDING = "person", "policy", "recording"


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
    """What the simulator shows, or what was recorded; None: the recording has ended."""
    value: float
    """Predicted for the imagined frame, in [0, 1]."""
    reached: bool
    """Whether the predicted value has exceeded the threshold up to here."""
    success: bool
    """Whether the simulator, or the recording, has seen success up to here."""


@dataclass(frozen=True)
class Moment:
    row: Row
    session: Session
    snapshot: Any
    """Of what is beside the dream; None where nothing is"""
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
    """One player's dream, in one thread. `slot` is the player's on the stage."""

    def __init__(self, studio: Stage, slot: int, seed: int = 0) -> None:
        self.studio, self.slot = studio, slot
        self.settings = Settings(steps=studio.model.denoising, seed=seed)
        self.moments: dict[int, Moment] = {}
        self.now: Moment
        self.task, self.scene = "", seed
        self._count = 0
        self._policy: Policy
        self._policy_at: tuple[int, str, int] | None = None
        """Moment, instruction and seed that the policy's own memory belongs to."""

    # -- beginnings
    # -----------------------------------------------------------------------------------------------------

    def begin(self) -> Row:
        """Begin where new players do."""
        beginning, self.task, self.scene = self.studio.begin(self.slot, self.scene)
        return self._begin(beginning)

    def reset(self, task: str, scene: int) -> Row:
        """Begin in an episode's first frame, imagined from there on.

        Raises:
            UserError: there is no such task here.
        """
        beginning = self.studio.reset(self.slot, task, scene)
        self.task, self.scene = task, scene
        return self._begin(beginning)

    def start(self, episode: int, row: int) -> Row:
        """Begin in a recorded frame.

        Raises:
            UserError: there is none.
        """
        beginning, self.task = self.studio.start(self.slot, episode, row)
        self.scene = episode
        return self._begin(beginning)

    def _begin(self, beginning: Beginning) -> Row:
        observation, self.settings.instruction, success = beginning
        self.moments.clear()
        return self._ground(observation, observation, success, parent=None)

    def _ground(self, imagined: Observation, real: Observation | None, success: bool, parent: Moment | None) -> Row:
        """A moment that truth led to: a session that has seen one real frame and nothing before."""
        seed = (self.settings.seed, 0 if parent is None else parent.row.depth + 1)
        session = Session(self.studio.model, [self.settings.instruction], float("nan"), [seed])
        session.observe(self._seen(imagined))
        return self._add(session, parent, None, imagined, real, value_in(session), success, {})

    # -- steps
    # ----------------------------------------------------------------------------------------------------------

    def step(self, action: np.ndarray | None) -> Row:
        """Hold the controls `action` (A,) for a chunk, in the dream and beside it; None lets the model drive."""
        if action is not None:
            return self._take(self.studio.held(action), PERSON)
        row = self._take(self._policy_chunk(), MODEL)
        self._policy_at = self._here()
        return row

    def follow(self) -> Row:
        """Do in the dream what was recorded next.

        Raises:
            UserError: nothing was.
        """
        if self.now.row.real is None:
            raise UserError("the recording has ended: start from another frame, or drive on yourself")
        return self._take(self.studio.recorded_chunk(self.slot), RECORDING)

    def _take(self, chunk: np.ndarray, driver: str) -> Row:
        studio, now, settings = self.studio, self.now, self.settings
        model = studio.model
        chunk = studio.bounded(chunk)
        session = now.session.fork(1, settings.seed)
        session.instruct([settings.instruction])  # it may have changed since
        spread = disagreement(session.fork(SEEDS), chunk, settings.steps) if settings.spread else {}
        block = step(session, chunk[None], settings.steps)
        imagined: Observation = model.decode_images(block.values)
        if model.state_dim:
            imagined["state"] = model.decode_state(block.values[STATE])
        real, success = now.row.real, now.row.success
        if real is not None:
            real, success = studio.step(self.slot, chunk)
        return self._add(session, now, chunk, imagined, real, value_in(session), success, spread, driver)

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
            self.studio.restore(self.slot, self.now.snapshot)
        return self.now.row

    def ground(self) -> Row:
        """Let the dream see the frame beside it, and forget what it imagined.

        Raises:
            UserError: there is none any more.
        """
        row = self.now.row
        if row.real is None:
            raise UserError("the recording beside this dream has ended: there is nothing to look at")
        return self._ground(row.real, row.real, row.success, parent=self.now)

    def disturb(self, kind: str) -> Row:
        """Knock, move or remove the object in the simulator. The dream does not know until it is grounded."""
        now = self.now
        real, success = self.studio.disturb(self.slot, kind, self._count)
        row = now.row
        return self._add(now.session, now, None, row.imagined, real, row.value, success, now.spread)

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
        snapshot = None if real is None else self.studio.snapshot(self.slot)
        self.now = self.moments[self._count] = Moment(row, session, snapshot, spread)
        self._count += 1
        self.moments.pop(self._count - 1 - KEEP, None)
        return row


def value_in(session: Session) -> float:
    """Predicted for the newest step; NaN where the model has nobody who says that."""
    try:
        return float(value_of(session)[0])
    except UserError:
        return float("nan")


def disagreement(futures: Session, chunk: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """Where futures of one past and one chunk (chunk, A) differ: camera -> (S, S) float32, standard deviation over the
    session's rows in grey levels of 0 to 255, mean over colours. They are denoised, in one step at least: a robot that
    is carried looks the same in all of them."""
    model: RobotModel = futures.model
    action = model.encode_action(np.repeat(chunk[None], futures.batch, 0))
    images = model.decode_images(futures.imagine(Schedule.forward(max(1, steps)), {ACTION: action}).values)
    return {name.removeprefix("image."): x.astype(np.float32).std(0).mean(-1) for name, x in images.items()}
