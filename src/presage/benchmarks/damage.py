"""Damaged datasets: what inspect, train and filter make of files that were cut, flipped, lost or filled in wrongly.

Three small whole datasets (v3.0 with videos, v3.0 with images in the data files, v2.1) are damaged at random, one or
two damages at a time, and given to the commands. A person may be refused, in one line; what must not happen is a
traceback, a hang, or a training on rows that inspect describes otherwise.

Formats hold no checksums: a flipped bit inside a number or a compressed frame can give another valid one. Numbers show
in what inspect says of a column; frames that changed in silence are counted beside.
"""

import contextlib
import io
import json
import multiprocessing
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from presage.benchmarks.common import BenchArgs, Main
from presage.benchmarks.damages import damage, whole_datasets
from presage.errors import UserError

if TYPE_CHECKING:
    from presage.episodes.dataset import Dataset
    from presage.episodes.survey import Survey

TRIALS, QUICK_TRIALS, WORKERS = 1000, 24, 2
PATIENCE_S = 120.0
"""Seconds after which a command counts as hung; each takes a few."""
FRAME_TOLERANCE = 3.0
"""Grey levels that a frame may be off on average and still count as the same."""
TRAIN = ("--recipe", "debug", "--steps", "1", "--codec-steps", "1", "--part-steps", "1", "--chunk", "1")


@dataclass(frozen=True)
class Outcome:
    """What came of one damaged dataset."""

    done: list[str]
    """The damages, in words."""
    codes: dict[str, int]
    """Exit code of inspect, train and filter."""
    faults: list[str]
    """traceback, not_one_line, silent, filter_changed, frames_changed; each with its command or what differs."""


def run(args: BenchArgs) -> dict[str, Any]:
    """`episodes` is the number of damaged datasets: 1,000."""
    if args.main is None:
        raise ValueError("this bench runs commands: give it the command line (BenchArgs.main)")
    trials = args.episodes or (QUICK_TRIALS if args.quick else TRIALS)
    faults: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        sources = whole_datasets(Path(folder))
        outcomes = _outcomes(args.main, sources, Path(folder), args.seed, trials)
        for number, outcome in tqdm(outcomes, total=trials, unit="dataset"):
            if isinstance(outcome, str):
                faults[outcome] += 1
                print(f"damage {number}: {outcome}", file=sys.stderr)
                continue
            accepted.update(command for command, code in outcome.codes.items() if code == 0)
            faults.update({fault.split(":")[0] for fault in outcome.faults})
            for fault in outcome.faults:
                print(f"damage {number}: {'; '.join(outcome.done)}: {fault}", file=sys.stderr)
    names = ("traceback", "hang", "crash", "not_one_line", "silent", "filter_changed", "frames_changed")
    figures = {f"accepted_{command}": accepted[command] for command in ("inspect", "train", "filter")}
    return {"datasets": trials} | {name: faults[name] for name in names} | figures


def _outcomes(
    main: Main, sources: list[Path], folder: Path, seed: int, trials: int
) -> Iterator[tuple[int, Outcome | str]]:
    """(number, outcome) of every trial; "hang" or "crash" where its process had to be, or was, ended."""
    waiting = iter(range(trials))
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(contextlib.closing(_Worker(main, sources, folder, seed))) for _ in range(WORKERS)
        ]
        busy = [worker for worker in workers if worker.start(next(waiting, None))]
        while busy:
            for worker in list(busy):
                answer = worker.answer(0.05)
                if answer is None:
                    continue
                yield worker.number, answer
                if not worker.start(next(waiting, None)):
                    busy.remove(worker)


class _Worker:
    """A process that tries one dataset after the other, and is replaced when it hangs or dies."""

    def __init__(self, main: Main, sources: list[Path], folder: Path, seed: int) -> None:
        self.given = (main, sources, folder, seed)
        self.number, self.waited = -1, 0.0
        self._begin()

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, *self.given), daemon=True)
        self.process.start()
        other.close()

    def start(self, number: int | None) -> bool:
        if number is None:
            return False
        self.number, self.waited = number, 0.0
        self.connection.send(number)
        return True

    def answer(self, seconds: float) -> Outcome | str | None:
        self.waited += seconds
        try:
            if self.connection.poll(seconds):
                return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._replace()
            return "crash"
        if self.waited < PATIENCE_S:
            return None
        self._replace()
        return "hang"

    def _replace(self) -> None:
        self.close()
        self._begin()

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, main: Main, sources: list[Path], folder: Path, seed: int) -> None:
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            number = connection.recv()
        except EOFError:
            return
        connection.send(attempt(main, sources, folder / f"trial-{number}", (seed, number)))


def attempt(main: Main, sources: list[Path], folder: Path, seed: tuple[int, int]) -> Outcome:
    """Damage a copy of one of `sources` in `folder`, run the commands of `main` on it, and look at what they did."""
    rng = np.random.default_rng(seed)
    source = sources[int(rng.integers(len(sources)))]
    root, filtered, trained = folder / "data", folder / "filtered", folder / "run"
    shutil.copytree(source, root)
    done = damage(root, rng)
    commands = {
        "inspect": (
            "inspect",
            str(root),
            "--full",
            "--out",
            str(folder / "page.html"),
            "--json",
            str(folder / "seen.json"),
        ),
        "train": ("train", "--data", str(root), "--out", str(trained), *TRAIN),
        "filter": ("dataset", "filter", str(root), "--out", str(filtered), "--min-length", "1"),
    }
    said = {name: _command(main, arguments) for name, arguments in commands.items()}
    faults = [f"{fault}: {name}" for name, (_, fault) in said.items() if fault]
    codes = {name: code for name, (code, _) in said.items()}
    if codes["train"] == 0:
        faults += _trained_on_other_data(source, root, codes["inspect"])
    if codes["filter"] == 0:
        faults += _differences(root, filtered, "filter_changed")
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome(done, codes, faults)


def _command(main: Main, arguments: tuple[str, ...]) -> tuple[int, str]:
    """(exit code, fault) of a command of presage run here: "traceback", "not_one_line" or nothing."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    except BaseException:  # whatever it is, a person would see it
        return 1, f"traceback: {traceback.format_exc().strip().splitlines()[-1][:160]}"
    lines = [line for line in err.getvalue().splitlines() if line.startswith("presage: error:")]
    return code, "" if code == 0 or (
        code == 2 and len(lines) == 1
    ) else f"not_one_line: exit {code}, {len(lines)} lines"


def _trained_on_other_data(source: Path, root: Path, inspected: int) -> list[str]:
    """Faults of a training that was not refused: what it read differs from the whole dataset, and nothing says so."""
    from presage.episodes.survey import survey

    if inspected != 0:
        return ["silent: train took what inspect refuses"]
    with contextlib.redirect_stderr(io.StringIO()):
        before, after = survey(source, None, True), survey(root, None, True)
    if after.damage or after.gaps or after.notes or _described(before) != _described(after):
        return []
    return _differences(source, root, "silent")


def _described(found: "Survey") -> str:
    """What inspect says of a dataset, as far as it depends on its rows."""
    data = found.dataset
    return json.dumps(
        [
            [(n.name, n.low, n.high, n.mean, n.q01, n.q99, n.histogram) for f in found.features for n in f.numbers],
            [(f.name, f.dtype, f.shape, f.missing) for f in found.features],
            [(e.index, e.length, e.instruction) for e in data.episodes],
            [(c.name, c.width, c.height) for c in found.cameras],
            [found.instructions, found.success, data.fps, data.robot_type],
        ],
        default=str,
    )


def _differences(one: Path, other: Path, fault: str) -> list[str]:
    """Faults where two datasets that should hold the same rows do not. What cannot be read must not be readable in the
    other either: packets are copied with their damage."""
    from presage.episodes.dataset import Dataset

    a, b = Dataset(one), Dataset(other)
    if a.lengths.tolist() != b.lengths.tolist():
        return [f"{fault}: lengths {a.lengths.tolist()} and {b.lengths.tolist()}"]
    faults = []
    for name in ("action", "observation.state"):
        if not _same(_column(a, name), _column(b, name)):
            faults.append(f"{fault}: column {name}")
    for camera in set(a.cameras) & set(b.cameras):
        off = max(_apart(a, b, episode, camera) for episode in range(len(a.episodes)))
        if off > FRAME_TOLERANCE:
            faults.append(
                f"{'frames_changed' if fault == 'silent' else fault}: camera {camera} by {off:.0f} grey levels"
            )
    return faults


def _column(data: "Dataset", name: str) -> np.ndarray | None:
    try:
        return data.column(name)
    except UserError:
        return None


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other, equal_nan=True)


def _apart(a: "Dataset", b: "Dataset", episode: int, camera: str) -> float:
    """Grey levels between the frames of two datasets, the worst frame's mean; infinite where only one can be read."""
    shown = []
    for data in (a, b):
        with contextlib.suppress(UserError):
            shown.append(data.frames(episode, camera).astype(float))
    if len(shown) == 2 and shown[0].shape == shown[1].shape:
        return float(np.abs(shown[0] - shown[1]).mean((1, 2, 3)).max())
    return float("inf") if shown else 0.0
