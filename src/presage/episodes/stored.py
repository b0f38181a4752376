"""What a dataset brings along of its episodes and is kept as it is: statistics that are not computed anew, columns of
meta/episodes and further tasks."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from presage.episodes.dataset import Dataset
from presage.episodes.features import whole
from presage.episodes.files import parquet_files, read_rows
from presage.episodes.layout import INFO_PREFIX
from presage.episodes.metadata import EpisodeRecord, column_names, read_jsonl, read_schema
from presage.episodes.statistics import QUANTILES, Statistics, combine_statistics, read_statistics
from presage.errors import UserError

_OWN = ("episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index")
_PREFIXES = ("data/", "videos/", "meta/episodes/", "stats/", INFO_PREFIX)


def stored_statistics(dataset: Dataset, computed: Collection[str]) -> Callable[[EpisodeRecord], dict[str, Statistics]]:
    """A function from an episode to its statistics of images and whatever else is not `computed` from the rows: those
    recorded for the episode, or where there are none those of the dataset."""
    known = dict(_of_episodes(dataset, computed))
    whole = {n: s for n, s in dataset.stats.items() if n not in computed}

    def statistics(record: EpisodeRecord) -> dict[str, Statistics]:
        guessed = {name: {**figures, "count": np.array([record.length])} for name, figures in whole.items()}
        return guessed | known.get(record.index, {})

    return statistics


def add_statistics(episodes: Sequence[dict[str, Statistics]], notes: list[str]) -> dict[str, Statistics]:
    """Statistics of the whole from those of its episodes: mean, std, min and max exactly, quantiles as the mean of the
    episodes' (as LeRobot adds them up). What some episodes lack is left out, and `notes` says so."""
    figures = {}
    for name in dict.fromkeys(name for figure in episodes for name in figure):
        parts = [figure[name] for figure in episodes if name in figure]
        if len(parts) < len(episodes) or len({part["mean"].shape for part in parts}) > 1:
            notes.append(f"{name!r} has no statistics in some episodes, so meta/stats.json has none of it")
            continue
        figures[name] = combine_statistics(parts)
        counts = [float(part["count"].reshape(-1)[0]) for part in parts]
        for quantile in QUANTILES:
            if all(quantile in part for part in parts):
                figures[name][quantile] = np.average([part[quantile] for part in parts], axis=0, weights=counts)
    return figures


def more_of_episodes(dataset: Dataset) -> tuple[dict[int, dict[str, Any]], dict[str, pa.DataType]]:
    """Columns of meta/episodes that belong to nobody known: their values by episode number, and their types."""
    if dataset.version.startswith("v2."):
        rows = read_jsonl(dataset.root / "meta/episodes.jsonl", unread=[])
        nested = [{k: v for k, v in row.items() if isinstance(v, list | dict) and k not in _OWN} for row in rows]
        return {_number(row): more for row, more in zip(rows, nested, strict=True)}, {}
    values: dict[int, dict[str, Any]] = {}
    types: dict[str, pa.DataType] = {}
    for path in _episode_files(dataset):
        wanted = [name for name in column_names(path) if name not in _OWN and not name.startswith(_PREFIXES)]
        types |= {field.name: field.type for field in read_schema(path) if field.name in wanted}
        for row in read_rows(path, ["episode_index", *wanted]) if wanted else []:
            values[_number(row)] = {name: row[name] for name in wanted}
    return values, types


def all_tasks(dataset: Dataset) -> dict[int, list[str]]:
    """Every text that meta/ lists for an episode, by its number."""
    if dataset.version.startswith("v2."):
        rows = read_jsonl(dataset.root / "meta/episodes.jsonl", unread=[])
    else:
        paths = [path for path in _episode_files(dataset) if "tasks" in column_names(path)]
        rows = [row for path in paths for row in read_rows(path, ["episode_index", "tasks"])]
    return {_number(row): _texts(row.get("tasks")) for row in rows}


def _episode_files(dataset: Dataset) -> list[Path]:
    """Files of meta/episodes. Those that cannot be read describe no episode of the dataset."""
    files = []
    for path in parquet_files(dataset.root / "meta/episodes"):
        try:
            files += [path] if "episode_index" in column_names(path) else []
        except UserError:
            continue
    return files


def _number(row: dict[str, Any]) -> int:
    """Of the episode that a line is about; -1 of none."""
    found = whole(row.get("episode_index"))
    return -1 if found is None else found


def _texts(said: Any) -> list[str]:
    return [text for text in (said if isinstance(said, list) else [said]) if isinstance(text, str)]


def _of_episodes(dataset: Dataset, computed: Collection[str]) -> Iterator[tuple[int, dict[str, Statistics]]]:
    """(number, statistics) of each episode for which meta/ has some."""
    for number, found in _stored_figures(dataset, computed):
        yield number, {name: known for name, raw in found.items() if (known := read_statistics(raw)) is not None}


def _stored_figures(dataset: Dataset, computed: Collection[str]) -> Iterator[tuple[int, dict[str, dict[str, Any]]]]:
    if dataset.version.startswith("v2."):
        path = dataset.root / "meta/episodes_stats.jsonl"
        for row in read_jsonl(path, unread=[]) if path.exists() else []:
            stats = row["stats"] if isinstance(row.get("stats"), dict) else {}
            yield _number(row), {n: s for n, s in stats.items() if n not in computed and isinstance(s, dict)}
        return
    for path in _episode_files(dataset):
        wanted = {}
        for column in column_names(path):
            name, _, figure = column.removeprefix("stats/").rpartition("/")
            if column.startswith("stats/") and name and name not in computed:
                wanted[column] = name, figure
        for row in read_rows(path, ["episode_index", *wanted]) if wanted else []:
            figures: dict[str, dict[str, Any]] = {}
            for column, (name, figure) in wanted.items():
                figures.setdefault(name, {})[figure] = row[column]
            yield _number(row), figures
