"""Read the meta folder of a LeRobotDataset, v3.0 or v2.x, into one description that no longer knows the version."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from presage.episodes.files import column_names, read_json, read_jsonl, read_schema, read_table
from presage.episodes.info import Info, read_info
from presage.episodes.places import place_rows
from presage.episodes.records import EpisodeRecord, Listing, list_episodes
from presage.episodes.statistics import Statistics, combine_statistics, read_statistics
from presage.episodes.tasks import read_tasks
from presage.errors import UserError

__all__ = [
    "EpisodeRecord",
    "Metadata",
    "column_names",
    "read_json",
    "read_jsonl",
    "read_metadata",
    "read_schema",
    "read_table",
]


@dataclass(frozen=True)
class Metadata:
    """What meta/ says."""

    info: Info
    tasks: list[str]
    """``tasks[i]`` is the text of task_index i, empty where there is none."""
    stats: dict[str, Statistics]
    episodes: list[EpisodeRecord]
    """By number, those without rows left out."""
    lost: dict[int, str]
    """Number of an episode whose rows cannot be found -> what was found instead."""
    unread: list[UserError]
    """Files of meta/episodes that cannot be read; the episodes that they describe are not known."""
    notes: list[str] = field(default_factory=list)
    """What was read otherwise than it is written, one line each."""


def read_metadata(root: Path, wanted: Collection[int] | None = None) -> Metadata:
    """Read meta/. What the episodes can be read without (tasks, statistics, totals) never stops it.

    wanted: numbers of the episodes whose rows will be read, all by default.

    Raises:
        UserError: a file is missing or damaged, contradicts another, or no episode has been recorded.
    """
    notes: list[str] = []
    info = read_info(root, notes)
    stats = _read_stats(root, info, notes)
    if info.total_episodes == 0 and not _episodes_listed(root, info):
        raise _nothing_recorded(root)
    tasks = read_tasks(root, info.version, notes)
    listing = list_episodes(root, info, tasks, notes)
    episodes, lost = _with_rows(root, info, listing, wanted, notes)
    if not episodes and not lost:
        raise _nothing_recorded(root)
    return Metadata(info, tasks, stats, episodes, lost, listing.unread, notes)


def _episodes_listed(root: Path, info: Info) -> bool:
    return (root / ("meta/episodes.jsonl" if info.version.startswith("v2.") else "meta/episodes")).exists()


def _nothing_recorded(root: Path) -> UserError:
    return UserError(f"{root}: no episode has been recorded in it yet; record one first")


def _with_rows(
    root: Path, info: Info, listing: Listing, wanted: Collection[int] | None, notes: list[str]
) -> tuple[list[EpisodeRecord], dict[int, str]]:
    """The episodes that have rows, where these are, and counted from the first to the last."""
    episodes, lost = listing.episodes, dict[int, str]()
    if info.version.startswith("v3."):
        numbers = {record.index for record in episodes} if wanted is None else wanted
        episodes, lost = place_rows(root, episodes, numbers, notes)
    rows = sum(record.length for record in episodes)
    for name, said, there in (("episodes", info.total_episodes, len(episodes)), ("frames", info.total_frames, rows)):
        if said not in (None, there) and not listing.unread:
            notes.append(
                f"{root / 'meta/info.json'}: total_{name} is {said}, the records of the episodes say {there}; "
                "these count "
                "(presage dataset filter writes both alike)"
            )
    empty = [record.index for record in episodes if not record.length]
    if empty:
        notes.append(f"{root / 'meta'}: episodes without rows are left out: {', '.join(map(str, empty[:10]))}")
    kept, start = [], 0
    for record in episodes:
        if record.length and record.index not in lost:
            kept.append(replace(record, start=start))
            start += record.length
    return kept, lost


def _read_stats(root: Path, info: Info, notes: list[str]) -> dict[str, Statistics]:
    """Statistics of the dataset: v2.1 has them per episode, v2.0 and v3.0 in one file."""
    whole, parts = root / "meta/stats.json", root / "meta/episodes_stats.jsonl"
    try:
        if whole.exists() or info.version.startswith("v3."):
            found = _usable(read_json(whole), str(whole), notes) if whole.exists() else {}
        else:
            rows = read_jsonl(parts) if parts.exists() else []
            found = _combined([row.get("stats") for row in rows], str(parts), notes)
    except UserError as error:
        notes.append(f"{error}: statistics are computed anew where they are needed")
        return {}
    return found


def _usable(raw: Any, path: str, notes: list[str]) -> dict[str, Statistics]:
    given = raw if isinstance(raw, dict) else {}
    read = {name: read_statistics(figures) for name, figures in given.items()}
    unusable = [name for name, figures in read.items() if figures is None]
    if unusable or given is not raw:
        which = ", ".join(unusable[:5]) or "all"
        notes.append(f"{path}: null, NaN or incomplete ({which}); statistics are computed anew where they are needed")
    return {name: figures for name, figures in read.items() if figures is not None}


def _combined(rows: list[Any], path: str, notes: list[str]) -> dict[str, Statistics]:
    """Of features that every episode has usable statistics of, in one shape."""
    parts = [{n: read_statistics(f) for n, f in (row if isinstance(row, dict) else {}).items()} for row in rows]
    found: dict[str, Statistics] = {}
    unusable = []
    for name in dict.fromkeys(name for part in parts for name in part):
        known = [figures for part in parts if (figures := part.get(name)) is not None]
        if len(known) == sum(name in part for part in parts) and len({f["mean"].shape for f in known}) == 1:
            found[name] = combine_statistics(known)
        else:
            unusable.append(name)
    if unusable:
        which = ", ".join(unusable[:5])
        notes.append(f"{path}: null, NaN or incomplete ({which}); statistics are computed anew where they are needed")
    return found
