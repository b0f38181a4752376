"""Results that commands left behind, read back: `--json` files and the folders of trainings."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from presage.errors import UserError
from presage.results.output import portable, show

TEXTS = ("bench", "command")
OBJECTS = {"figures": (), "checkpoint": ("name", "sha256"), "versions": (), "machine": ("cpu", "cores", "bf16")}
"""field of a result -> what it holds at least, where there is one"""
BASELINE, CARD = "state", Path("model") / "card.md"
"""Where a recipe logs the world model, whose parts have logs beside it; and the card of a finished training"""


@dataclass(frozen=True)
class Outcome:
    """One episode; `world` is real (the simulator) or imagined (the dream), `steps` counts chunks. answered: whether
    the referee of a dream was sure of `success`; None where there was none to ask."""

    policy: str
    world: str
    task: str
    seed: int
    instruction: str
    success: bool
    steps: int
    answered: bool | None = None


@dataclass(frozen=True)
class Footage:
    """Films of one episode in both worlds: mp4 files, which may be missing, and the number of their frames."""

    policy: str
    task: str
    seed: int
    instruction: str
    caption: str
    fps: float
    real: Path
    imagined: Path
    real_frames: int
    imagined_frames: int


@dataclass(frozen=True)
class Run:
    """One result. `figures` are flat: what was nested is named outer/inner."""

    name: str
    source: str
    what: str
    command: str | None
    figures: dict[str, Any]
    facts: dict[str, str]
    """checkpoint, seed, commit, versions, machine, ... in words"""
    outcomes: list[Outcome] = field(default_factory=list)
    footage: list[Footage] = field(default_factory=list)
    curves: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    """what was logged in a training -> (steps, values)"""
    bench: str | None = None

    def successes(self, policy: str, world: str, task: str | None = None) -> tuple[int, int]:
        """(successes, episodes) of a policy in a world, of all tasks or one, doubtful episodes included."""
        mine = [o for o in self.outcomes if (o.policy, o.world) == (policy, world) and task in (None, o.task)]
        return sum(o.success for o in mine), len(mine)

    def surely(self, policy: str, world: str) -> tuple[int, int] | None:
        """(successes, episodes) among those that were answered; None where nobody was asked whether they are sure."""
        mine = [o for o in self.outcomes if (o.policy, o.world) == (policy, world)]
        if all(o.answered is None for o in mine):
            return None
        sure = [o.success for o in mine if o.answered]
        return sum(sure), len(sure)


def read_runs(paths: list[Path]) -> list[Run]:
    """Every path as a run, in order, each with a name of its own.

    Raises:
        UserError: no path, or one that is no result.
    """
    if not paths:
        raise UserError("no runs: name --json files of presage commands, or folders that presage train wrote")
    runs = [read_training(path) if path.is_dir() else read_result(path) for path in paths]
    count = Counter(run.name for run in runs)
    named = []
    for number, (run, path) in enumerate(zip(runs, paths, strict=True), 1):
        name = run.name
        if count[name] > 1:  # the same file name in several folders, or one file twice
            name = f"{number}. {path.resolve().parent.name}/{name}"
        named.append(Run(**{**vars(run), "name": name}))
    return named


def read_json(file: Path) -> dict[str, Any]:
    """What a `--json` file holds.

    Raises:
        UserError: it cannot be read, is no JSON, has no figures, or one of `TEXTS` and `OBJECTS` is something else.
    """
    try:
        record = json.loads(file.read_text())
    except OSError as error:
        raise UserError(
            f"cannot read {file}: {error.strerror}; name a --json file or the folder of a training"
        ) from None
    except (ValueError, RecursionError):
        raise UserError(f"{file} is not JSON: name what a presage command wrote with --json") from None
    if not isinstance(record, dict) or "figures" not in record:
        raise UserError(f"{file} has no field 'figures': it is not a result of a presage command's --json")
    for name in TEXTS:
        if not isinstance(record.get(name, ""), str):
            raise UserError(f"{file} is damaged (field {name!r} is no text): repeat the command that wrote it")
    for name, least in OBJECTS.items():
        value = record.get(name, dict.fromkeys(least))
        if not isinstance(value, dict) or any(part not in value for part in least):
            what = f"an object with {', '.join(least)}" if least else "an object"
            raise UserError(f"{file} is damaged (field {name!r} is not {what}): repeat the command that wrote it")
    return record


def read_result(file: Path) -> Run:
    """A `--json` file.

    Raises:
        UserError: as `read_json`, or its episodes, films or facts are damaged.
    """
    record = read_json(file)
    try:
        outcomes = [_outcome(row) for row in record.get("episodes", [])]
        footage = [_footage(file, film) for film in record.get("films", [])]
        command = record.get("command")
        bench = record.get("bench")
        words = (command or "").split()
        what = f"bench {bench}" if bench else (words[1] if len(words) > 1 and words[0] == "presage" else "result")
        figures, facts = _flat(record["figures"]), _facts(record)
        return Run(file.stem, portable(file), what, command, figures, facts, outcomes, footage, bench=bench)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{file} is damaged ({type(error).__name__}: {error}): repeat the command that wrote it"
        ) from None


def read_training(folder: Path) -> Run:
    """The folder of a training: its curves, of a system those of each stage as STAGE/NAME, and what its card says once
    it is finished.

    Raises:
        UserError: it is none, or a log is damaged.
    """
    stages = {log.parent.name: log for log in sorted(folder.glob("*/log.jsonl"), key=lambda log: log.stat().st_ctime)}
    if not stages:
        raise UserError(f"{folder} has no log.jsonl: name a folder that presage train writes, or a --json file")
    if BASELINE in stages:
        figures, curves = _logged(stages[BASELINE])
    else:
        figures, curves = {}, {}
        for stage, log in stages.items():
            last, drawn = _logged(log)
            figures |= {f"{stage}/{name}": value for name, value in last.items()}
            curves |= {f"{stage}/{name}": curve for name, curve in drawn.items()}
    card = folder / CARD
    text = card.read_text() if card.exists() else ""
    command = re.search(r"```sh\n(.*?)\n```", text, re.DOTALL)
    facts = {"state": "finished" if text else "not finished: there is no model yet"}
    said = " ".join(line for line in text.partition("```")[0].splitlines() if line and not line.startswith("#"))
    facts |= {"card": said} if said else {}
    name = folder.resolve().name
    return Run(name, portable(folder), "train", command and command[1], figures, facts, curves=curves)


def _logged(log: Path) -> tuple[dict[str, Any], dict[str, tuple[list[float], list[float]]]]:
    """The last line of a log, and what was logged -> (steps, values)."""
    try:
        rows = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]  # the last may be half
        curves = {}
        for name in dict.fromkeys(key for row in rows for key in row if key not in ("step", "seconds")):
            kept = [(row["step"], float(row[name])) for row in rows if row.get(name) is not None]
            curves[name] = ([x for x, _ in kept], [y for _, y in kept])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{log} is damaged ({error}): continue the training, which repairs it") from None
    if not rows:
        raise UserError(f"{log} is empty: the training has logged nothing yet")
    return rows[-1], curves


def _outcome(row: Mapping[str, Any]) -> Outcome:
    from presage.episodes.outcome import as_success

    policy, world, task, instruction = (str(row[name]) for name in ("policy", "world", "task", "instruction"))
    success = as_success(row["success"], f"{policy}, {task}, seed {row['seed']}") is True
    answered = None if row.get("answered") is None else bool(row["answered"])
    return Outcome(policy, world, task, int(row["seed"]), instruction, success, int(row["steps"]), answered)


def _footage(file: Path, film: Mapping[str, Any]) -> Footage:
    kept = {k: film[k] for k in Footage.__dataclass_fields__}
    # Only files beside the result: a record from elsewhere must not pull in others.
    inside = {side: file.parent / Path(kept[side]).parent.name / Path(kept[side]).name for side in ("real", "imagined")}
    return Footage(**{**kept, **inside})


def _flat(figures: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{prefix}{name}/")
        else:
            out[f"{prefix}{name}"] = ", ".join(map(show, value)) if isinstance(value, list) else value
    return out


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
    """What repeats a run, in words; what an older result does not say is left out."""
    from presage.results.provenance import arithmetic

    facts: dict[str, str] = {}
    if "checkpoint" in record:
        facts["checkpoint"] = f"{record['checkpoint']['name']}, weights {record['checkpoint']['sha256']}"
    facts |= {name: str(record[name]) for name in ("seed", "commit") if name in record}
    if "versions" in record:
        facts["versions"] = ", ".join(f"{name} {value}" for name, value in record["versions"].items())
    if "machine" in record:
        machine = record["machine"]
        cpu = f"{machine['cpu']}, {machine['cores']} cores, {arithmetic(machine)}"
        facts["machine"] = f"{cpu}; GPU: {machine['gpu'] or 'none'}"
    if "seconds" in record:
        facts["took"] = f"{record['seconds']:.0f} s"
    return facts
