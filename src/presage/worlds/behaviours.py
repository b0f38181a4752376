"""How recorded episodes are driven: an expert that is left alone, disturbed, shifted or replaced, chunk by chunk."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from presage.worlds.world import World

CHUNK = 4
"""Environment steps per row: Meta-World, controlled at 20 Hz, has 5 rows a second."""
TRY_EVERY = 4
"""Rows between two at which counterfactuals are tried: neighbours teach the same."""
MAX_EXPERT_STEPS = 160


@dataclass(frozen=True)
class Behaviours:
    """How the recorded episodes are driven: the share of each behaviour and how strong its disturbances are.

    expert: the scripted expert throughout; every chunk has quality 1.
    perturbed: now and then a burst of 1 to 3 chunks is disturbed (a constant random offset and white noise on the
    expert's actions, the gripper sometimes inverted; quality 0); in between the expert recovers (quality 1).
    random: smooth random motion (quality 0) for 30 rows, half of the time after some chunks of the expert (quality 1).
    shifted: every chunk is the expert's, shifted by a constant offset of its own (quality 0), for 60 rows: it strays
    about the goal, as a planner that chooses badly does.
    planned: every chunk is what a policy chooses (quality 0): a critic has to know where its own errors lead.
    mistaken: an expert that errs all along, in one way (`mistakes.py`; quality 0).
    play: contacts of all kinds without a purpose (`play.py`; quality 0, no instruction), for 150 rows.
    branch: eight rows from the midst of play; four such episodes begin in the same moment, and go on differently.
    """

    expert: float = 0.35
    perturbed: float = 0.5
    random: float = 0.15
    shifted: float = 0.0
    planned: float = 0.0
    mistaken: float = 0.0
    play: float = 0.0
    branch: float = 0.0
    burst_probability: tuple[float, float] = (0.12, 0.25)  # of a burst after a clean chunk; drawn per episode
    noise: float = 0.3  # standard deviation of the white noise
    gripper_flip: float = 0.25  # probability per burst
    random_rows: int = 30
    full_length: bool = False
    """Episodes go on for 60 rows, whatever was achieved or is random: long dreams must know what comes after. What is
    done after success is nobody's example (quality 0)."""
    counterfactuals: int = 0
    """So many chunks are tried at every fourth row besides what is executed there: each is the expert's, shifted by a
    constant random offset (the first in half of the cases by none), and after each the expert goes on undisturbed.
    Columns `counterfactual.action` (chunks, one after the other) and `counterfactual.steps` (environment steps to
    success after each, -1 where there is none within 160; a success before the chunk does not count)."""
    offset: float = 0.5  # standard deviation of such an offset, and of those of `shifted`

    def share(self) -> dict[str, float]:
        names = ("expert", "perturbed", "random", "shifted", "planned", "mistaken", *PLAYED)
        return {name: getattr(self, name) for name in names}


PLAYED = {"play": 150, "branch": 8}
"""Behaviours of a world's player -> rows of an episode"""
BRANCHES = 4
"""Episodes that begin in one moment"""
DYNAMICS = Behaviours(expert=0.28, perturbed=0.2, random=0.12, play=0.15, branch=0.25)
"""Of episodes, so that over half of the rows are play: what a model of contacts learns from"""
ERRING = Behaviours(expert=0.1, perturbed=0.15, random=0.0, mistaken=0.75)
"""Motion of experts that often comes to nothing, so that nobody learns to believe in it"""


class Driver:
    """Decides, chunk by chunk, what is added to the expert. All randomness comes from the episode's seed."""

    def __init__(self, behaviour: str, seed: int, settings: Behaviours, world: World) -> None:
        self.behaviour, self.settings, self.world = behaviour, settings, world
        self.rng = np.random.default_rng((seed, 1))
        self.probability = self.rng.uniform(*settings.burst_probability)
        self.expert_chunks = int(self.rng.integers(1, 13)) * int(self.rng.random() < 0.5)
        self.tries = np.random.default_rng((seed, 2))  # its own: what is recorded is the same with and without
        self.first_try = int(self.tries.integers(TRY_EVERY))
        self.remaining = 0  # chunks left of the present burst or direction
        self.offset, self.flip = np.zeros(world.action_size), False

    def next_chunk(self, row: int) -> float:
        """Plan the chunk executed after `row`; returns its quality, 1 for the expert's own and 0 otherwise."""
        if self.behaviour == "expert" or (self.behaviour == "random" and row < self.expert_chunks):
            return 1.0
        if self.behaviour in ("planned", "mistaken", *PLAYED):
            return 0.0
        if self.behaviour == "shifted":
            self.offset = self.shift(self.rng)
            return 0.0
        if self.behaviour == "perturbed" and self.remaining == 0 and self.rng.random() >= self.probability:
            return 1.0
        if self.remaining == 0:
            self.remaining = int(self.rng.integers(1, 4 if self.behaviour == "perturbed" else 5))
            self.offset = self.rng.uniform(-1.0, 1.0, self.world.action_size)
            if self.behaviour == "perturbed":
                self.offset *= self.rng.uniform(0.3, 1.0) * self.world.burst
                if self.world.gripper:
                    self.offset[-1] = 0.0
            elif self.world.gripper:
                self.offset[-1] = self.rng.choice([-1.0, 1.0])
            self.flip = bool(self.rng.random() < self.settings.gripper_flip)
        self.remaining -= 1
        return 0.0

    def shift(self, rng: np.random.Generator) -> np.ndarray:
        """A constant offset (A,) for one chunk."""
        return rng.normal(0.0, self.settings.offset * self.world.burst, self.world.action_size)

    def disturb(self, expert: np.ndarray) -> np.ndarray:
        """One action (A,) of a disturbed chunk, in [-1, 1]."""
        if self.behaviour == "shifted":
            return np.clip(expert + self.offset, -1.0, 1.0).astype(np.float32)
        action = self.offset + self.rng.normal(0.0, self.settings.noise * self.world.burst, self.world.action_size)
        if self.behaviour == "perturbed":
            intended = expert.copy()
            if self.world.gripper and self.flip:
                intended[-1] = -expert[-1]
            action += intended
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def counterfactuals(self, simulation: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Try `count` chunks from where the simulation is, and put it back: chunks (count, CHUNK, A), steps
        (count,)."""
        chunks = np.zeros((count, CHUNK, self.world.action_size), np.float32)
        steps = np.full(count, -1.0, np.float32)
        if not count:
            return chunks, steps
        here = simulation.save()
        for i in range(count):
            simulation.load(here)
            simulation.success = False  # latched: what matters is whether the chunk keeps or regains it
            offset = self.shift(self.tries)
            if i == 0 and self.tries.random() < 0.5:
                offset[:] = 0.0
            for step in range(CHUNK):
                chunks[i, step] = np.clip(simulation.expert_action() + offset, -1.0, 1.0)
                simulation.step(chunks[i, step])
            steps[i] = _steps_to_success(simulation)
        simulation.load(here)
        return chunks, steps


def _steps_to_success(simulation: Any) -> int:
    """Environment steps in which the expert succeeds from here, -1 if it does not."""
    for step in range(MAX_EXPERT_STEPS):
        if simulation.success:
            return step
        simulation.step(simulation.expert_action())
    return -1


def counterfactual_columns(
    tried: list[tuple[np.ndarray, np.ndarray]], count: int, action_size: int
) -> dict[str, np.ndarray]:
    """The columns of what `Driver.counterfactuals` tried at every row: (rows, count * CHUNK * A) and (rows, count)."""
    action = np.zeros((len(tried), count * CHUNK * action_size), np.float32)
    steps = np.zeros((len(tried), count), np.float32)
    known = np.array([len(each) > 0 for _, each in tried])
    for row in np.flatnonzero(known):
        action[row], steps[row] = tried[row][0].ravel(), tried[row][1]
    return {
        "counterfactual.action": action,
        "counterfactual.action.valid": known,
        "counterfactual.steps": steps,
        "counterfactual.steps.valid": known.copy(),
    }
