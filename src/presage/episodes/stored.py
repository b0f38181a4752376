"""What a dataset brings along of its episodes and is kept as it is: statistics that are not computed anew, columns of
meta/episodes and further tasks."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from presage.episodes.dataset import Dataset
from presage.episodes.layout import INFO_PREFIX
from presage.episodes.metadata import EpisodeRecord, column_names, read_jsonl, read_schema, read_table
from presage.episodes.statistics import QUANTILES, Statistics, combine_statistics

_OWN = ("episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index")
_PREFIXES = ("data/", "videos/", "meta/episodes/", "stats/", INFO_PREFIX)
_COMBINED = ("min", "max", "mean", "std", "count")


def stored_statistics(dataset: Dataset, computed: Collection[str]) -> Callable[[EpisodeRecord], dict[str, Statistics]]:
    """A function from an episode to its statistics of images and whatever else is not `computed` from the rows: those
    recorded for the episode, or where there are none those of the dataset."""
    known = dict(_of_episodes(dataset, computed))
    whole = {n: s for n, s in dataset.stats.items() if n not in computed and _can_be_combined(s)}

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
        rows = read_jsonl(dataset.root / "meta/episodes.jsonl")
        nested = [{k: v for k, v in row.items() if isinstance(v, list | dict) and k not in _OWN} for row in rows]
        return {row["episode_index"]: more for row, more in zip(rows, nested, strict=True)}, {}
    values: dict[int, dict[str, Any]] = {}
    types: dict[str, pa.DataType] = {}
    for path in sorted((dataset.root / "meta/episodes").rglob("*.parquet")):
        wanted = [name for name in column_names(path) if name not in _OWN and not name.startswith(_PREFIXES)]
        types |= {field.name: field.type for field in read_schema(path) if field.name in wanted}
        for row in read_table(path, ["episode_index", *wanted]).to_pylist() if wanted else []:
            values[row.pop("episode_index")] = row
    return values, types


def all_tasks(dataset: Dataset) -> dict[int, list[str]]:
    """Every text that meta/ lists for an episode, by its number."""
    if dataset.version.startswith("v2."):
        rows = read_jsonl(dataset.root / "meta/episodes.jsonl")
    else:
        paths = sorted((dataset.root / "meta/episodes").rglob("*.parquet"))
        paths = [path for path in paths if "tasks" in column_names(path)]
        rows = [row for path in paths for row in read_table(path, ["episode_index", "tasks"]).to_pylist()]
    return {row["episode_index"]: _texts(row.get("tasks")) for row in rows}


def _texts(said: Any) -> list[str]:
    return [text for text in (said if isinstance(said, list) else [said]) if isinstance(text, str)]


def _can_be_combined(figures: Statistics) -> bool:
    known = all(figure in figures and np.asarray(figures[figure]).dtype.kind in "biuf" for figure in _COMBINED)
    return known and all(np.asarray(value).dtype.kind in "biuf" for value in figures.values())


def _as_array(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError:  # rows of different lengths
        return np.asarray(None)


def _of_episodes(dataset: Dataset, computed: Collection[str]) -> Iterator[tuple[int, dict[str, Statistics]]]:
    """(number, statistics) of each episode for which meta/ has some."""
    for number, found in _stored_figures(dataset, computed):
        figures = {name: {f: _as_array(v) for f, v in stats.items() if v is not None} for name, stats in found.items()}
        yield number, {name: stats for name, stats in figures.items() if _can_be_combined(stats)}


def _stored_figures(dataset: Dataset, computed: Collection[str]) -> Iterator[tuple[int, dict[str, dict[str, Any]]]]:
    if dataset.version.startswith("v2."):
        path = dataset.root / "meta/episodes_stats.jsonl"
        for row in read_jsonl(path) if path.exists() else []:
            stats = row.get("stats") or {}
            yield row["episode_index"], {n: s for n, s in stats.items() if n not in computed and isinstance(s, dict)}
        return
    for path in sorted((dataset.root / "meta/episodes").rglob("*.parquet")):
        wanted = {}
        for column in column_names(path):
            name, _, figure = column.removeprefix("stats/").rpartition("/")
            if column.startswith("stats/") and name and name not in computed:
                wanted[column] = name, figure
        for row in read_table(path, ["episode_index", *wanted]).to_pylist() if wanted else []:
            figures: dict[str, dict[str, Any]] = {}
            for column, (name, figure) in wanted.items():
                figures.setdefault(name, {})[figure] = row[column]
            yield row["episode_index"], figures
