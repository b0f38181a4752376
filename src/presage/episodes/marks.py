"""By what an episode is known again, wherever it was copied to: a checkpoint keeps the marks of those it was trained
on, so that held-out ones can be told from them."""

import hashlib
from collections.abc import Collection, Sequence

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.features import is_numeric
from presage.errors import UserError

TOLD_BY = ("action", "observation.state")
"""Columns that make the mark; all numbers but the rows' own where a dataset has neither."""
COUNTING = ("timestamp", "frame_index", "episode_index", "index", "task_index")
DIGITS, ONCE = 16, 8
"""Hexadecimal digits of a mark, and of those in older checkpoints"""


def episode_marks(dataset: Dataset) -> list[str]:
    """(E,) a hash of what was done and felt in each episode. Empty where no numbers can be read."""
    numeric = [name for name, f in dataset.features.items() if is_numeric(f) and name not in COUNTING]
    names = [name for name in TOLD_BY if name in numeric] or sorted(numeric)
    try:
        columns = [np.ascontiguousarray(dataset.column(name)) for name in names]
    except UserError:  # whoever needs the column will say so
        columns = []
    if not columns:
        return []
    return [_mark([x[e.start : e.start + e.length] for x in columns]) for e in dataset.episodes]


def all_marks(datasets: Sequence[Dataset], before: str = "") -> str:
    """As a checkpoint keeps them: the marks of all episodes, and those of a training `before`, as one text."""
    marks = [*before.split(), *(mark for dataset in datasets for mark in episode_marks(dataset))]
    return " ".join(dict.fromkeys(marks))


def among(mark: str, marks: Collection[str]) -> bool:
    """Whether a checkpoint that keeps `marks` was trained on the episode of a mark."""
    return mark in marks or mark[:ONCE] in marks


def _mark(parts: list[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.tobytes())
    return digest.hexdigest()[:DIGITS]
