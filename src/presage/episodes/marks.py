"""By what an episode is known again, wherever it was copied to: a checkpoint keeps the marks of those it was trained
on, so that held-out ones can be told from them."""

import hashlib
from collections.abc import Collection, Sequence

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.features import is_numeric
from presage.episodes.metadata import EpisodeRecord
from presage.errors import UserError

TOLD_BY = ("action", "observation.state")
"""Columns that make the mark; all other numbers but the rows' own where an episode has neither."""
COUNTING = ("timestamp", "frame_index", "episode_index", "index", "task_index")
DIGITS, ONCE = 16, 8
"""Hexadecimal digits of a mark, and of those in older checkpoints"""


def episode_marks(dataset: Dataset) -> list[str]:
    """(E,) a hash of what was done and felt in each episode; "" for one of which no number can be read.

    Columns count in the episodes that recorded them: a dataset that was merged has columns that only some have.
    """
    numeric = [name for name, f in dataset.features.items() if is_numeric(f) and name not in COUNTING]
    marks = _marks(dataset, [name for name in TOLD_BY if name in numeric])
    if all(marks):
        return marks
    others = _marks(dataset, sorted(set(numeric) - set(TOLD_BY)))
    return [mark or other for mark, other in zip(marks, others, strict=True)]


def all_marks(datasets: Sequence[Dataset], before: str = "") -> str:
    """As a checkpoint keeps them: the marks of all episodes, and those of a training `before`, as one text."""
    marks = [*before.split(), *(mark for dataset in datasets for mark in episode_marks(dataset) if mark)]
    return " ".join(dict.fromkeys(marks))


def among(mark: str, marks: Collection[str]) -> bool:
    """Whether a checkpoint that keeps `marks` was trained on the episode of a mark."""
    return mark in marks or mark[:ONCE] in marks


def _marks(dataset: Dataset, names: Sequence[str]) -> list[str]:
    columns = [_by_episode(dataset, name) for name in names]
    return [_mark([column[i] for column in columns]) for i in range(len(dataset.episodes))]


def _by_episode(dataset: Dataset, name: str) -> list[np.ndarray | None]:
    """(E,) rows of a column; None where an episode did not record it, or where they cannot be read."""
    try:
        values, recorded = dataset.column(name), dataset.recorded(name)
    except UserError:  # whoever needs the column will say so; its other rows still tell episodes apart
        files = ((file, list(records)) for file, records in dataset.data_files())
        return [rows for file, records in files for rows in _by_file(dataset, file, records, name)]
    return [values[e.rows] if recorded[e.rows].any() else None for e in dataset.episodes]


def _by_file(dataset: Dataset, file: str, records: list[EpisodeRecord], name: str) -> list[np.ndarray | None]:
    """The same of the episodes of one file as it is stored, numbers that are not finite included: no mark may depend on
    the other episodes, since copies leave some out."""
    try:
        values, recorded = dataset.read_file(file, records, name)
    except UserError:
        one_by_one = [[record] for record in records] if len(records) > 1 else []
        return [rows for one in one_by_one for rows in _by_file(dataset, file, one, name)] or [None]
    ends = np.cumsum([record.length for record in records])[:-1]
    parts = zip(np.split(values, ends), np.split(recorded, ends), strict=True)
    return [rows if known.any() else None for rows, known in parts]


def _mark(parts: Sequence[np.ndarray | None]) -> str:
    digest, found = hashlib.sha256(), [part for part in parts if part is not None]
    for part in found:
        digest.update(part.tobytes())
    return digest.hexdigest()[:DIGITS] if found else ""
