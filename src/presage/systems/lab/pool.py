"""A pool of policies to be ranked: ten that differ in data, architecture and seed, and four that are noisy, random or
still, which no ranking should be praised for telling apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from presage.episodes.dataset import Dataset
from presage.systems.lab.arms import CHUNK, recorded, sized
from presage.systems.lab.artifacts import artifact
from presage.systems.lab.cloning import Architecture, cloned_policy
from presage.systems.lab.datasets import T3, dataset
from presage.systems.lab.files import read_json, write_json
from presage.systems.lab.labels import Seen, few
from presage.systems.lab.policies import with_codec
from presage.systems.lab.rolled import rolled
from presage.systems.lab.starts import Start
from presage.systems.system import SMALL
from presage.training.recorded import shape_of
from presage.worlds.protocol import Observation, Policy
from presage.worlds.rollout import episodes_of, row_generators
from presage.worlds.world import find_world

LEARNED: tuple[tuple[Architecture, int, int], ...] = (
    ("flow", 3, 0),
    ("flow", 5, 0),
    ("flow", 10, 0),
    ("flow", 20, 0),
    ("flow", 50, 0),
    ("flow", 20, 1),
    ("filmed", 10, 0),
    ("filmed", 50, 0),
    ("pooled", 20, 0),
    ("pooled", 50, 0),
)
"""Architecture, demonstrations a task, seed"""
BASE, NOISE = 4, (0.5, 1.0)
"""Which of them is disturbed, and by noise of which deviations"""


@dataclass(frozen=True)
class Member:
    name: str
    trivial: bool
    """Noisy, random or still"""
    make: Callable[[], Policy]


def pool(quick: bool, out: Path) -> list[Member]:
    """The pool, trained the first time. A debug twin lies in `out` and has two of the ten.

    Raises:
        UserError: the lab's demonstrations were not made.
    """
    chosen = (LEARNED[0], LEARNED[6]) if quick else LEARNED
    members = learned(chosen, quick, out)
    base = members[-1 if quick else BASE].make
    still = partial(Still, CHUNK, find_world(T3[0]).action_size)
    members += [Member(f"noise {spread}", True, partial(_noisy, base, spread)) for spread in NOISE]
    return [*members, Member("random", True, partial(_noisy, still, 1.0)), Member("still", True, still)]


def learned(chosen: Sequence[tuple[Architecture, int, int]], quick: bool, out: Path) -> list[Member]:
    """Policies by architecture, demonstrations a task and seed, trained the first time.

    Raises:
        UserError: the lab's demonstrations were not made.
    """
    t3, opened = recorded("t3", quick), Dataset(dataset("t3", quick))
    shape, size, where = shape_of(t3), sized(SMALL, quick), out if quick else None
    whole = cloned_policy(shape, size)
    pictures = {"labelled": t3.without_labels(range(len(t3.length))), "free": t3.only([0])}
    codec = replace(whole, stages=whole.stages[:1])
    eyes = artifact("pool-codec", codec, shape, pictures, [], where).codecs.state_dict()
    members = []
    for architecture, count, seed in chosen:
        numbers = few(opened, 1 if quick else count).labelled
        system = with_codec(cloned_policy(shape, size, architecture), eyes)
        name, seen = f"pool-{architecture}-{count}-{seed}", [Seen("t3", ("action",), numbers)]
        model = artifact(name, system, shape, {"labelled": t3.only(numbers)}, seen, where, seed)
        words = f"{architecture}, {count} demonstrations, seed {seed}"
        members.append(Member(words, False, partial(system.uses["policy"], model, seed)))
    return members


class Still:
    """Does nothing."""

    def __init__(self, chunk: int, dim: int) -> None:
        self.shape = (chunk, dim)

    def reset(self, instructions: list[str]) -> None:
        """Nothing is remembered."""

    def act(self, observation: Observation) -> np.ndarray:
        return np.zeros((len(observation["state"]), *self.shape), np.float32)


class Noisy:
    """A policy with Gaussian noise on its actions, which follows from the episode and its step."""

    def __init__(self, policy: Policy, spread: float) -> None:
        self.policy, self.spread, self.step = policy, spread, 0

    def reset(self, instructions: list[str]) -> None:
        self.policy.reset(instructions)
        self.step = 0

    def act(self, observation: Observation) -> np.ndarray:
        chunks = self.policy.act(observation)
        rows = row_generators(0, episodes_of(observation, len(chunks)), self.step)
        self.step += 1
        noise = np.stack([row.standard_normal(chunks.shape[1:]) for row in rows])
        return np.clip(chunks + self.spread * noise, -1.0, 1.0).astype(np.float32)


def _noisy(base: Callable[[], Policy], spread: float) -> Policy:
    return Noisy(base(), spread)


def true_success(members: Sequence[Member], starts: Sequence[Start], folder: Path) -> dict[str, list[float]]:
    """Name -> 1 or 0 for each start, in the simulator; kept in `folder`."""
    asked, out = [[s.task, s.seed] for s in starts], {}
    for member in members:
        path = folder / f"{member.name.replace(' ', '_')}.json"
        kept = read_json(path, "remove it") if path.exists() else {}
        if kept.get("starts") != asked:
            ended = rolled(member.make(), [s.task for s in starts], [s.seed for s in starts]).success
            kept = {"starts": asked, "success": ended.astype(float).tolist()}
            write_json(path, kept)
        out[member.name] = kept["success"]
    return out
