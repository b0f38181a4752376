"""What a check gives back, and how one is run.

A recipe's module has

    def check(arms: tuple[str, ...], seeds: tuple[int, ...], quick: bool, out: Path) -> CheckResult

arms: names of those to run, empty for all. seeds: of training, one run of every arm each. quick: a debug twin of
seconds, on tuning starts. out: folder for whatever it writes (checkpoints, films, logs); a repeated call continues.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from presage.errors import UserError
from presage.systems.lab.files import read_json, write_json
from presage.systems.lab.starts import Block, take_verdict_block, tuning_block
from presage.systems.lab.verdict import Verdict, verdict_from_json, verdict_to_json
from presage.systems.table import Row, State, has_recipe, recipe

VERDICTS = Path(__file__).parent / "verdicts"
"""One small JSON file a checked system, NAME.json: what docs/systems.md is generated from."""


@dataclass(frozen=True)
class Arm:
    """One variant with all its training seeds.

    outcomes: a tuple for each seed, with the figure of each start. figures: printed beside, no part of the verdict.
    seconds: training and evaluation of all seeds. rows, steps: training rows drawn from, optimiser steps of one seed.
    """

    name: str
    outcomes: tuple[tuple[float, ...], ...]
    seconds: float
    parameters: int
    rows: int
    steps: int
    figures: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        count = sum(map(len, self.outcomes))
        return sum(map(sum, self.outcomes)) / count if count else float("nan")

    def figure(self, name: str) -> float:
        """One printed beside; NaN where it is unknown or was not finite, which no limit admits."""
        value = self.figures[name]
        return math.nan if value is None else float(value)


@dataclass(frozen=True)
class CheckResult:
    """A finished check.

    figure: what outcomes are, such as `success`. verdict: None where a run had not all arms that it needs. block: of
    verdict starts; its number says how many verdicts of this system came before. seconds: of all of it, calls that were
    killed and continued included. figures: of the check as a whole.
    command, machine, versions: filled in by whoever ran it.
    """

    card: Row
    figure: str
    arms: tuple[Arm, ...]
    verdict: Verdict | None
    seeds: tuple[int, ...]
    block: Block
    quick: bool
    seconds: float
    figures: Mapping[str, float | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    command: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def run(row: Row, arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    """Check a system.

    Raises:
        UserError: it has no recipe yet, or the recipe refuses.
    """
    return recipe(row).check(tuple(arms), tuple(seeds), quick, out)


def block_for(row: Row, quick: bool) -> Block:
    """The starts of a check that is about to judge: the next verdict block, which counts as used from now on. A quick
    one judges nothing, so it takes tuning starts."""
    if quick:
        return tuning_block()
    known = published(row)
    return take_verdict_block(row.name, 0 if known is None else known.block.number + 1)


def block_of(row: Row, quick: bool, out: Path) -> Block:
    """The starts of a check that writes to `out`: one that goes on keeps those that it began with."""
    path = out / "block.json"
    if not path.exists():
        write_json(path, asdict(block_for(row, quick)))
    return Block(**read_json(path, f"remove {out}"))


def published(row: Row, folder: Path = VERDICTS) -> CheckResult | None:
    """The committed result of a system's check, if there is one."""
    path = folder / f"{row.name}.json"
    return load(path) if path.exists() else None


def state_of(row: Row, folder: Path = VERDICTS) -> tuple[State, str]:
    """How far a system is, and of one that was checked the verdict in words."""
    known = published(row, folder)
    if known is not None:
        return "checked", "" if known.verdict is None else known.verdict.words
    return ("recipe" if has_recipe(row) else "planned"), ""


def save(path: Path, result: CheckResult) -> None:
    """Write a result as JSON."""
    write_json(path, to_json(result))


def load(path: Path) -> CheckResult:
    """Read a result.

    Raises:
        UserError: it cannot be read, or is no result of a check.
    """
    content = read_json(path, "run the check again")
    try:
        return from_json(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def to_json(result: CheckResult) -> dict[str, Any]:
    verdict = None if result.verdict is None else verdict_to_json(result.verdict)
    return asdict(result) | {"verdict": verdict}


def from_json(content: Mapping[str, Any]) -> CheckResult:
    """What `to_json` made.

    Raises:
        UserError: a field is missing or has another type.
    """
    try:
        card = {**content["card"], "uses": tuple(content["card"]["uses"])}
        arms = [Arm(**{**arm, "outcomes": tuple(tuple(seed) for seed in arm["outcomes"])}) for arm in content["arms"]]
        verdict = content["verdict"]
        changed = {
            "card": Row(**card),
            "arms": tuple(arms),
            "verdict": None if verdict is None else verdict_from_json(verdict),
            "seeds": tuple(content["seeds"]),
            "block": Block(**content["block"]),
            "notes": tuple(content["notes"]),
        }
        return CheckResult(**{**content, **changed})
    except (KeyError, TypeError) as error:
        raise UserError(f"this is no result of a check ({error}): run the check again") from None
