"""What came of episodes and rows: which chunks were executed, which succeeded, which are worth imitating."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.features import is_numeric
from presage.episodes.metadata import EpisodeRecord
from presage.errors import UserError

TRUE = ("true", "t", "yes", "y", "1", "1.0", "success", "successful", "succeeded", "pass", "passed", "ok", "done")
FALSE = ("false", "f", "no", "n", "0", "0.0", "failure", "fail", "failed", "unsuccessful")
UNKNOWN = ("", "none", "null", "nan", "n/a", "unknown", "?")


def as_success(value: object, where: str) -> bool | None:
    """What a bool, number or text says of success; None: that it is not known.

    Raises:
        UserError: it says neither. The line begins with `where`.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    text = "" if value is None else str(value).strip().lower()
    if text in TRUE or text in FALSE:
        return text in TRUE
    if text in UNKNOWN:
        return None
    raise UserError(
        f"{where}: {value!r} says neither success nor failure; write true or false, or nothing where unknown"
    )


def row_success(dataset: Dataset, name: str = "next.success") -> np.ndarray | None:
    """(R,) bool: a column that says of every row whether it succeeded; None where there is none."""
    if name not in dataset.features:
        return None
    values, recorded = dataset.column(name), dataset.recorded(name)
    if values.size != dataset.num_rows:
        raise UserError(
            f"{dataset.root}: {name!r} has {values.size // dataset.num_rows} values a row, not one; rename it"
        )
    values = values.reshape(-1)
    kinds, which = np.unique(values[recorded], return_inverse=True)
    where = f"{dataset.root}: column {name!r}"
    success = np.zeros(len(values), bool)
    success[recorded] = np.array([as_success(kind, where) is True for kind in kinds.tolist()], bool)[which]
    return success


def was_kept(dataset: Dataset, name: str, rows: np.ndarray) -> bool:
    """Whether a column of success, whose `rows` (R,) are those of the chosen episodes, says so of any row of the whole
    dataset. One that never does was not kept; where it was, episodes without success failed, whichever are chosen."""
    if rows.any():
        return True
    kinds = (kind for values in dataset.elsewhere(name) for kind in np.unique(values).tolist())
    return any(str(kind).strip().lower() in TRUE for kind in kinds)


STAYS = 2
"""Rows after the first success that still show it; what comes later nobody wrote down, since success is latched"""


def told_rows(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """((R,), (R,)) bool: whether the task had succeeded when the chunk of a row was over, and whether that is known. It
    is by `next.success`, or else by the fact `success` of the episode: its last frame shows how it ended."""
    rows, told, success = row_success(dataset), np.zeros(dataset.num_rows, bool), np.zeros(dataset.num_rows, bool)
    if rows is not None and was_kept(dataset, "next.success", rows):
        told, success = dataset.recorded("next.success").copy(), rows.copy()
    for e in dataset.episodes:
        fact = as_success(e.info.get("success"), f"{dataset.root}: episode {e.index}: 'success'")
        if fact is not None and not told[e.rows].any():
            told[e.rows] = True
            success[e.start + max(0, e.length - 2)] = fact
    return success, told


def steps_to_success(dataset: Dataset) -> np.ndarray:
    """(R,) rows until what a row shows is a success, by `told_rows`: 0 where it is one, infinite where none comes in
    its episode, NaN where it is unknown: later than `STAYS` rows after a success, or nobody told of the episode."""
    out = np.full(dataset.num_rows, np.nan)
    success, said = told_rows(dataset)
    for episode in (e for e in dataset.episodes if said[e.rows].any()):
        hits = np.flatnonzero(success[episode.start : episode.start + episode.length])
        left = (hits[0] + 1 if len(hits) else np.inf) - np.arange(episode.length, dtype=float)
        out[episode.start : episode.start + episode.length] = np.where(left < -STAYS, np.nan, left.clip(0))
    return out


def episode_success(dataset: Dataset) -> list[bool | None]:
    """(E,) whether each episode succeeded: the fact `success` where it is told, else whether any of its rows did
    (`next.success` or `success`). None: unknown, also of an episode that did not record the column, and where it was
    not kept."""
    told = [
        as_success(e.info.get("success"), f"{dataset.root}: episode {e.index}: 'success'") for e in dataset.episodes
    ]
    if None not in told:
        return told
    name = next((name for name in ("next.success", "success") if name in dataset.features), None)
    rows = None if name is None else row_success(dataset, name)
    if name is None or rows is None or not was_kept(dataset, name, rows):
        return told
    known = [e if dataset.recorded(name)[e.rows].any() else None for e in dataset.episodes]
    return [t if e is None or t is not None else bool(rows[e.rows].any()) for t, e in zip(told, known, strict=True)]


def with_success(record: EpisodeRecord, success: bool | None) -> EpisodeRecord:
    """An episode with the fact `success`, where it is known."""
    return record if success is None else replace(record, info=record.info | {"success": success})


def with_outcomes(parts: Sequence[Dataset]) -> list[tuple[Dataset, EpisodeRecord]]:
    """The episodes of datasets, with the fact `success` wherever it is known there: what a column means follows from
    all episodes, of which a copy may keep some. Facts that are no bools stay as they are, and so do all others then: in
    meta/episodes a fact has one type."""
    episodes = [(part, record) for part in parts for record in part.episodes]
    told = [record.info.get("success") for _, record in episodes]
    if not all(fact is None or isinstance(fact, bool) for fact in told):
        return episodes
    known = [success for part in parts for success in _readable_success(part)]
    return [(part, with_success(record, success)) for (part, record), success in zip(episodes, known, strict=True)]


def _readable_success(dataset: Dataset) -> list[bool | None]:
    try:
        return episode_success(dataset)
    except UserError:  # a copy is no place to complain
        return [None] * len(dataset.episodes)


def read_quality(dataset: Dataset) -> tuple[np.ndarray | None, str]:
    """The column `quality` (R,), 0 to 1, NaN where unknown; or None, and why a column of that name is something
    else."""
    feature = dataset.features.get("quality")
    if feature is None:
        return None, ""
    size = int(np.prod(feature["shape"]))
    if not is_numeric(feature):
        return None, f"it holds {feature['dtype']}"
    if size != 1:
        return None, f"it holds {size} numbers a row"
    values = np.where(dataset.recorded("quality"), dataset.column("quality").reshape(-1), np.nan)
    low, high = np.nanmin(values, initial=np.inf), np.nanmax(values, initial=-np.inf)
    if low < 0 or high > 1:
        return None, f"it reaches from {low:g} to {high:g}"
    return values, ""


def chunk_quality(dataset: Dataset) -> np.ndarray:
    """(R,) how far each row's chunk is worth imitating, 0 to 1: its quality, and 0 in an episode that failed, also
    where the expert acted. NaN: unknown."""
    quality, _ = read_quality(dataset)
    failed = np.array([success is False for success in episode_success(dataset)], bool)
    return np.where(np.repeat(failed, dataset.lengths), 0.0, np.nan if quality is None else quality)


def valid_actions(dataset: Dataset) -> np.ndarray:
    """(R,) True where a chunk was recorded and executed."""
    valid = dataset.recorded("action")
    if "action.valid" in dataset.features:
        valid = valid & dataset.column("action.valid").reshape(-1).astype(bool)
    return valid
