"""Outcomes that a person told (`presage label`): a small JSON file beside a dataset.

    data/arm                        the dataset
    data/arm.labels.json            what a person said of its episodes
    data/user--name.labels.json     the same of a dataset of the hub, seen from where the command runs

The hub's cache has a folder for every commit: labels beside that would be lost to the next one, and with the cache.

Every command that opens the dataset takes an answer as the fact `success` of its episode. What was recorded is never
overridden: where a recording says the outcome itself, that counts, and a note names the episodes whose label
contradicts it. An answer knows its episode by number, rows and a hash of what was done (`marks.py`), so labels of
another dataset are refused, and episodes may be appended to a dataset that has labels.
"""

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from presage.episodes.dataset import Dataset
from presage.episodes.hub import hub_snapshot
from presage.episodes.marks import episode_marks
from presage.episodes.outcome import episode_success
from presage.errors import UserError

FORMAT = "presage labels 1"


@dataclass(frozen=True)
class Answer:
    """What was said of an episode."""

    success: bool | None
    """None: it was skipped, nobody knows"""
    rows: int
    mark: str = ""
    """Empty where the dataset has no numbers to know an episode by, or they cannot be read"""


@dataclass(frozen=True)
class Labels:
    dataset: str
    """Its folder's name, or user--name of the hub, for people"""
    answers: dict[int, Answer] = field(default_factory=dict)
    """Number of an episode -> answer, in the order in which they were given"""

    def told(self) -> dict[int, bool]:
        """Number -> outcome, of those that were not skipped."""
        return {number: a.success for number, a in self.answers.items() if a.success is not None}


def name_of(root: Path) -> str:
    """What a dataset is called in the file of its labels, and that file after it."""
    return hub_snapshot(root) or root.resolve().name


def beside(root: Path) -> Path:
    """Where the labels of a dataset are, unless somebody says otherwise: beside it, or in `data/` of the working folder
    where it is of the hub."""
    folder = Path("data") if hub_snapshot(root) else root.resolve().parent
    return folder / f"{name_of(root)}.labels.json"


def read_labels(path: Path) -> Labels:
    """A file of `write_labels`.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}")
        answers = {int(number): Answer(**answer) for number, answer in content["episodes"].items()}
        if not all(isinstance(a.success, bool | None) and isinstance(a.rows, int) for a in answers.values()):
            raise ValueError("an answer is neither true, false nor null")
        return Labels(str(content["dataset"]), answers)
    except OSError as error:
        raise UserError(f"cannot read the labels {path}: {error.strerror}; restore the file, or move it away") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} holds no labels of presage label ({error}): restore it, or move it away") from None


def write_labels(path: Path, labels: Labels) -> None:
    """Write labels; those before stay until the new ones are whole and on the disk.

    Raises:
        UserError: they cannot be written.
    """
    told = {str(number): {"success": a.success, "rows": a.rows, "mark": a.mark} for number, a in labels.answers.items()}
    text = json.dumps({"format": FORMAT, "dataset": labels.dataset, "episodes": told}, indent=1)
    temporary = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"cannot write {path}: {error.strerror}; choose another place with --out") from None


def known_by(dataset: Dataset) -> dict[int, Answer]:
    """Number of each episode -> an empty answer that knows it."""
    pairs = zip(dataset.episodes, episode_marks(dataset), strict=True)
    return {e.index: Answer(None, e.length, mark) for e, mark in pairs}


def misfit(labels: Labels, dataset: Dataset) -> str | None:
    """Why labels are not of this dataset; None: they are. Episodes that were not chosen are compared by their rows."""
    lengths, here = dataset.all_lengths, known_by(dataset)
    for number, answer in labels.answers.items():
        rows = lengths.get(number)
        if rows is None:
            return f"episode {number}, which it does not have"
        if rows != answer.rows:
            return f"an episode {number} of {answer.rows} rows, where it has {rows}"
        mark = here[number].mark if number in here else ""
        if mark and answer.mark and mark != answer.mark:
            return f"an episode {number} in which something else was done"
    return None


def require_fit(path: Path, labels: Labels, dataset: Dataset) -> None:
    """Raise `UserError` unless labels are of this dataset."""
    why = misfit(labels, dataset)
    if why is not None:
        raise UserError(
            f"{path} labels {why} in {dataset.root}: they are of another dataset ({labels.dataset!r}) or revision; "
            "move the file away, or name another one"
        )


def add_labels(dataset: Dataset, files: Sequence[Path] = ()) -> None:
    """Let the episodes of a dataset know what a person told of them: in those of `files` that are of it, else in the
    file beside it, where there is one.

    Raises:
        UserError: the file beside it is damaged or of another dataset; one of `files` is damaged.
    """
    if files:
        found = [(path, labels) for path in files if misfit(labels := read_labels(path), dataset) is None]
    else:
        path = beside(dataset.root)
        found = [(path, read_labels(path))] if path.is_file() else []
        for path, labels in found:
            require_fit(path, labels, dataset)
    for path, labels in found:
        _add(dataset, labels, path)


def require_used(datasets: Sequence[Dataset], files: Sequence[Path]) -> None:
    """Raise `UserError` where labels are of none of the datasets."""
    for path in files:
        labels = read_labels(path)
        if all(misfit(labels, dataset) is not None for dataset in datasets):
            require_fit(path, labels, datasets[0])


def _add(dataset: Dataset, labels: Labels, path: Path) -> None:
    told, recorded = labels.told(), episode_success(dataset)
    against = []
    for place, (episode, known) in enumerate(zip(dataset.episodes, recorded, strict=True)):
        said = told.get(episode.index)
        if said is None:
            continue
        if known is None:
            dataset.episodes[place] = replace(episode, info=episode.info | {"success": said})
            dataset.labels[episode.index] = said
        elif known != said:
            against.append(episode.index)
    if dataset.labels:
        dataset.notes.append(
            f"{path}: the outcome of {len(dataset.labels)} episodes of {name_of(dataset.root)} is labelled"
        )
    if against:
        which = ", ".join(map(str, against[:10])) + (", ..." if len(against) > 10 else "")
        dataset.notes.append(
            f"{path}: what was recorded counts, and not the label that contradicts it: episodes {which}"
        )
