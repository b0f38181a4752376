"""Many checks, some at a time, each in a process of its own: one that fails leaves the others alone."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from presage.errors import UserError
from presage.results.provenance import describe_commit, describe_versions
from presage.systems.lab.check import CheckResult, load
from presage.systems.lab.inventory import minutes
from presage.systems.table import Row

LOG = "log.txt"
SECONDS_BETWEEN_LOOKS = 0.2
CHANGED = "+changes"
"""At the end of a commit that is not all of the source"""


@dataclass(frozen=True)
class Batch:
    """What all its checks have in common; each writes to a folder of its name in `out`."""

    out: Path
    seeds: tuple[int, ...]
    quick: bool
    at_once: int

    def folder(self, row: Row) -> Path:
        return self.out / f"{row.name}{'-quick' * self.quick}"

    def command(self, row: Row) -> list[str]:
        words = [sys.executable, "-m", "presage.interface.cli", "systems", "check", row.name]
        words += ["--seed", str(self.seeds[0]), "--seeds", str(len(self.seeds)), "--out", str(self.folder(row))]
        return [*words, *["--quick"] * self.quick]


@dataclass(frozen=True)
class Done:
    """result: None where there is none. seconds: of this call; 0 where it was finished before. failed: why."""

    row: Row
    result: CheckResult | None
    seconds: float = 0.0
    failed: str = ""

    @property
    def words(self) -> str:
        if self.result is None:
            return f"failed: {self.failed}"
        return "no verdict" if self.result.verdict is None else self.result.verdict.words


def check_all(rows: Sequence[Row], batch: Batch, say: Callable[[str], None]) -> list[Done]:
    """Check systems, in order. A check that was finished with the same versions and seeds is not begun again, and one
    that was killed goes on.

    say: is told what begins and what came of it, and how long all takes yet, by those that came before.
    """
    waiting, running = list(rows), dict[Row, _Check]()
    done: dict[Row, Done] = {}
    for row in rows:
        found = finished(row, batch)
        if found is not None:
            waiting.remove(row)
            done[row] = Done(row, found)
            say(f"{row.title}: {done[row].words}; it was finished before")
    try:
        while waiting or running:
            while waiting and len(running) < batch.at_once:
                row = waiting.pop(0)
                say(f"[{len(done) + len(running) + 1}/{len(rows)}] {row.title} begins: {batch.folder(row) / LOG}")
                running[row] = _Check(row, batch)
            for row, check in list(running.items()):
                if check.process.poll() is not None:
                    del running[row]
                    done[row] = check.end()
                    say(f"{row.title}: {done[row].words} ({minutes(done[row].seconds)}{_left(rows, done, batch)})")
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        for check in running.values():
            check.process.terminate()
        for check in running.values():
            check.process.wait()
    return [done[row] for row in rows]


class _Check:
    """A check that runs."""

    def __init__(self, row: Row, batch: Batch) -> None:
        self.row, self.folder, self.began = row, batch.folder(row), time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        threads = {} if batch.at_once == 1 else {"OMP_NUM_THREADS": "1"}
        with open(self.folder / LOG, "w") as log:
            self.process = subprocess.Popen(
                batch.command(row), stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **threads}
            )

    def end(self) -> Done:
        seconds = time.monotonic() - self.began
        if self.process.returncode == 0:
            try:
                return Done(self.row, load(self.folder / "check.json"), seconds)
            except UserError as error:
                return Done(self.row, None, seconds, str(error))
        lines = (self.folder / LOG).read_text().replace("\r", "\n").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return Done(self.row, None, seconds, last.removeprefix("presage: error: "))


def finished(row: Row, batch: Batch) -> CheckResult | None:
    """The result that a check left, if it was whole and made with these seeds, versions and this source."""
    path = batch.folder(row) / "check.json"
    if not path.exists():
        return None
    try:
        result = load(path)
    except UserError:
        return None
    whole = result.verdict is not None and result.seeds == batch.seeds and result.quick == batch.quick
    versions = described_versions()
    same = dict(result.versions) == versions and not versions["commit"].endswith(CHANGED)
    return result if whole and same else None


def described_versions() -> dict[str, str]:
    """Of packages, and of this source where it is known."""
    return {**describe_versions(), "commit": describe_commit()}


def _left(rows: Sequence[Row], done: dict[Row, Done], batch: Batch) -> str:
    took = [each.seconds for each in done.values() if each.seconds]
    left = len(rows) - len(done)
    return f", about {minutes(left * sum(took) / len(took) / batch.at_once)} left" if left else ""
