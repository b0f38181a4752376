"""Whose start seeds are whose in the lab: those of training, those on which settings are tuned, those of verdicts.

A verdict block is used once. A ledger in the user's cache folder counts the verdicts of each system, so the next run
takes the next block and says how many came before: whoever tries until it works is seen to have tried.

A quarter of every start box is never recorded: starts there are *far*. Half of the starts of a tuning or verdict block
are far, so a policy cannot do well by knowing recorded starts alone.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from presage.episodes.user_cache import cache_folder, locked
from presage.errors import UserError
from presage.systems.lab.files import read_json, write_json
from presage.worlds.collect import simulation_of
from presage.worlds.seeds import FIRST_CALIBRATION_SEED

FIRST_TUNING_SEED = 400_000
FIRST_VERDICT_SEED = 420_000
SEEDS_PER_BLOCK = 1_000
TUNING_BLOCKS = (FIRST_VERDICT_SEED - FIRST_TUNING_SEED) // SEEDS_PER_BLOCK
VERDICT_BLOCKS = (FIRST_CALIBRATION_SEED - FIRST_VERDICT_SEED) // SEEDS_PER_BLOCK
NEAR_SHARE = 0.75
"""Share of a start box, along its first side, that is recorded."""


@dataclass(frozen=True)
class Block:
    """Seeds `first ... first + SEEDS_PER_BLOCK - 1` of every task.

    number: of this kind, from 0. For verdicts it is also how many blocks of this system were used before.
    """

    kind: Literal["tuning", "verdict"]
    number: int

    @property
    def first(self) -> int:
        begin = FIRST_TUNING_SEED if self.kind == "tuning" else FIRST_VERDICT_SEED
        return begin + self.number * SEEDS_PER_BLOCK


@dataclass(frozen=True)
class Start:
    """One episode to come: what `world.reset(seed=[...], options={"task": [...]})` is given."""

    task: str
    seed: int
    far: bool


def tuning_block(number: int = 0) -> Block:
    """Where settings are chosen, as often as one likes.

    Raises:
        ValueError: there is no such block.
    """
    if not 0 <= number < TUNING_BLOCKS:
        raise ValueError(f"tuning blocks are numbered 0 to {TUNING_BLOCKS - 1}, got {number}")
    return Block("tuning", number)


def ledger_file() -> Path:
    return cache_folder() / "lab" / "verdicts.json"


def used_blocks(system: str) -> int:
    """How many verdict blocks of a system were taken on this machine."""
    return _read(ledger_file()).get(system, 0)


def take_verdict_block(system: str, at_least: int = 0) -> Block:
    """The next verdict block of a system. It counts as used from now on, whatever comes of it.

    at_least: first block that may be taken, for blocks that were used elsewhere (a published verdict).

    Raises:
        UserError: all are used, or the ledger cannot be read or written.
    """
    path = ledger_file()
    with locked(path):  # two checks at once must not get the same block
        ledger = _read(path)
        number = max(ledger.get(system, 0), at_least)
        if number >= VERDICT_BLOCKS:
            raise UserError(f"{path}: all {VERDICT_BLOCKS} verdict blocks of {system} are used; its verdict stands")
        write_json(path, ledger | {system: number + 1})
    return Block("verdict", number)


def _read(path: Path) -> dict[str, int]:
    remedy = "delete it, and note that its count of verdicts is lost"
    ledger = read_json(path, remedy) if path.exists() else {}
    wrong = [name for name, count in ledger.items() if not isinstance(count, int) or count < 0]
    if wrong:
        raise UserError(f"{path}: {wrong[0]!r} has count {json.dumps(ledger[wrong[0]])}: {remedy}")
    return ledger


def start_box(simulation: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Lower and upper corner of what a reset draws a start from evenly; None where a world has no such box.

    Meta-World draws the position of the object or fixture, then that of the goal.
    """
    box = getattr(getattr(simulation, "env", None), "_random_reset_space", None)
    return None if box is None else (np.asarray(box.low, float), np.asarray(box.high, float))


def is_far(simulation: Any) -> bool:
    """Whether the start that a simulation was reset to lies in the part of its start box that is never recorded: the
    last quarter of the first side that has a length, which in most tasks runs across the table."""
    box = start_box(simulation)
    if box is None:
        return False
    low, high = box
    side = int(np.flatnonzero(high > low)[0])
    return bool(simulation.env._last_rand_vec[side] > low[side] + NEAR_SHARE * (high[side] - low[side]))


def near_starts(tasks: Sequence[str], first: int) -> Iterator[tuple[int, Any]]:
    """For each of these tasks the next seed from `first` on whose start is not far, and its simulation there. No seed
    twice."""
    simulations = {task: simulation_of(task) for task in dict.fromkeys(tasks)}
    seeds = itertools.count(first)
    for task in tasks:
        for seed in seeds:
            simulations[task].reset(seed)
            if not is_far(simulations[task]):
                yield seed, simulations[task]
                break


def near_seeds(tasks: Sequence[str], first: int) -> list[int]:
    """The seeds alone."""
    return [seed for seed, _ in near_starts(tasks, first)]


def choose_starts(
    block: Block, tasks: Sequence[str], count: int, simulation: Callable[[str], Any] = simulation_of
) -> list[Start]:
    """`count` starts of a block: tasks take turns, and every second start of a task is far where it has far ones.

    simulation: makes the simulation of a task; it is reset to each candidate (about 9 ms).

    Raises:
        UserError: the block has not enough starts.
    """
    turns = {}
    for task in tasks:
        one = simulation(task)
        kinds = (False, True) if start_box(one) is not None else (False,)
        turns[task] = itertools.cycle([_starts_of(one, task, block.first, far) for far in kinds])
    starts: list[Start] = []
    for number in range(count):
        task = tasks[number % len(tasks)]
        found = next(next(turns[task]), None)
        if found is None:
            raise UserError(
                f"{task}: {block.kind} block {block.number} has fewer starts than asked for: {count} in all"
            )
        starts.append(found)
    return starts


def _starts_of(simulation: Any, task: str, first: int, far: bool) -> Iterator[Start]:
    """The far or the near starts of a block, in the order of their seeds."""
    for seed in range(first, first + SEEDS_PER_BLOCK):
        simulation.reset(seed)
        if is_far(simulation) == far:
            yield Start(task, seed, far)
