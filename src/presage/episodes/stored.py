"""Statistics of images that a dataset brings along, per episode: they are kept rather than decoded for again."""

from collections.abc import Callable, Sequence

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.metadata import EpisodeRecord, column_names, read_jsonl, read_table
from presage.episodes.statistics import QUANTILES, Statistics, combine_statistics


def stored_image_statistics(dataset: Dataset) -> Callable[[EpisodeRecord], dict[str, Statistics]]:
    """A function from an episode to the statistics of its images, by feature: those recorded for the episode, or where
    there are none those of the dataset."""
    names = [name for name, feature in dataset.features.items() if feature["dtype"] in ("image", "video")]
    known = _of_episodes(dataset, names)

    def statistics(record: EpisodeRecord) -> dict[str, Statistics]:
        figures = {}
        for name in names:
            if name in known.get(record.index, {}):
                figures[name] = known[record.index][name]
            elif name in dataset.stats:
                figures[name] = {**dataset.stats[name], "count": np.array([record.length])}
        return figures

    return statistics


def add_image_statistics(episodes: Sequence[dict[str, Statistics]], names: Sequence[str]) -> dict[str, Statistics]:
    """Statistics of the whole from those of its episodes: mean, std, min and max exactly, quantiles as the mean of the
    episodes' (as LeRobot adds them up)."""
    figures = {}
    for name in names:
        parts = [figure[name] for figure in episodes if name in figure]
        if not parts or len(parts) < len(episodes):
            continue
        figures[name] = combine_statistics(parts)
        counts = [float(part["count"].reshape(-1)[0]) for part in parts]
        for quantile in QUANTILES:
            if all(quantile in part for part in parts):
                figures[name][quantile] = np.average([part[quantile] for part in parts], axis=0, weights=counts)
    return figures


def _of_episodes(dataset: Dataset, names: Sequence[str]) -> dict[int, dict[str, Statistics]]:
    known: dict[int, dict[str, Statistics]] = {}
    if dataset.version.startswith("v2."):
        path = dataset.root / "meta/episodes_stats.jsonl"
        for row in read_jsonl(path) if path.exists() else []:
            known[row["episode_index"]] = {
                name: {figure: np.asarray(value) for figure, value in row["stats"][name].items()}
                for name in names
                if name in row["stats"]
            }
        return known
    for path in sorted((dataset.root / "meta/episodes").rglob("*.parquet")):
        wanted = [c for c in column_names(path) if any(c.startswith(f"stats/{name}/") for name in names)]
        for row in read_table(path, ["episode_index", *wanted]).to_pylist() if wanted else []:
            figures: dict[str, Statistics] = {}
            for column in wanted:
                name, figure = column.removeprefix("stats/").rsplit("/", 1)
                if row[column] is not None:
                    figures.setdefault(name, {})[figure] = np.asarray(row[column])
            known[row["episode_index"]] = figures
    return known
