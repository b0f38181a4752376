"""Few labels, and who has seen which: splits of a dataset, and the ledger that every trained artifact carries.

A claim about few labels is void when a part was trained on more of them. So an artifact's card lists what it saw, and a
check refuses an artifact that saw more than its arm may.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.systems.lab.files import read_json, write_json

LABELS = ("action", "observation.state", "observation.environment_state", "next.success", "quality")
"""Columns that `free` episodes are used without."""


@dataclass(frozen=True)
class Split:
    """Numbers of the episodes of a dataset: those that keep their labels, and all others, of which only video and
    instruction may be used."""

    labelled: tuple[int, ...]
    free: tuple[int, ...]


def few(dataset: Dataset, n: int, seed: int = 0) -> Split:
    """`n` labelled episodes of each task, at random; those of a smaller n are among those of a larger one.

    Raises:
        UserError: a task has fewer episodes.
    """
    by_task: dict[str, list[int]] = {}
    for episode in dataset.episodes:
        by_task.setdefault(str(episode.info.get("task", episode.instruction)), []).append(episode.index)
    labelled: set[int] = set()
    for place, (task, numbers) in enumerate(sorted(by_task.items())):
        if n > len(numbers):
            raise UserError(f"{dataset.root}: {task} has {len(numbers)} episodes, {n} labelled ones are asked for")
        order = np.random.default_rng((seed, place)).permutation(len(numbers))
        labelled |= {numbers[i] for i in order[:n]}
    free = [episode.index for episode in dataset.episodes if episode.index not in labelled]
    return Split(tuple(sorted(labelled)), tuple(free))


@dataclass(frozen=True)
class Seen:
    """Columns of a dataset that a training read. episodes: numbers of those it read them of; None: all."""

    dataset: str
    columns: tuple[str, ...]
    episodes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ArtifactCard:
    """What a trained artifact is, and what it saw in all stages of its training."""

    name: str
    seen: tuple[Seen, ...]
    seconds: float = 0.0
    """Of training it."""


def require_unseen(card: ArtifactCard, columns: Sequence[str], datasets: Mapping[str, Collection[int] | None]) -> None:
    """Refuse an artifact that saw any of `columns` in `datasets`.

    datasets: name -> numbers of the episodes whose columns must not have been seen (such as `Split.free`); None: all.

    Raises:
        UserError: it did.
    """
    for seen in card.seen:
        if seen.dataset not in datasets:
            continue
        barred = datasets[seen.dataset]
        both = [column for column in columns if column in seen.columns]
        if seen.episodes is None or barred is None:
            touched = barred is None or len(barred) > 0
        else:
            touched = not set(barred).isdisjoint(seen.episodes)
        if both and touched:
            raise UserError(
                f"{card.name} saw {both[0]!r} of dataset {seen.dataset}, which this arm may not use: train it without"
            )


def write_card(folder: Path, card: ArtifactCard) -> None:
    """Write `artifact.json` beside an artifact's weights."""
    write_json(folder / "artifact.json", asdict(card))


def read_card(folder: Path) -> ArtifactCard:
    """The card beside an artifact's weights.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path, remedy = folder / "artifact.json", "make the artifact again"
    content = read_json(path, remedy)
    try:
        return ArtifactCard(content["name"], tuple(map(_seen, content["seen"])), content["seconds"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is no card of an artifact ({error}): {remedy}") from None


def _seen(content: Mapping[str, Any]) -> Seen:
    episodes = content["episodes"]
    return Seen(content["dataset"], tuple(content["columns"]), None if episodes is None else tuple(episodes))
