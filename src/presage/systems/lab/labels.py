"""Few labels, and who has seen which: splits of a dataset, and the ledger that every trained artifact carries.

A claim about few labels is void when a part was trained on more of them. So an artifact's card lists what it saw, and a
check refuses an artifact that saw more than its arm may.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.systems.lab.files import read_json, write_json

LABELS = ("action", "observation.state", "observation.environment_state", "next.success", "quality")
"""Columns that `free` episodes are used without."""
CARD = "artifact.json"


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

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(column for column in self.columns if column in LABELS)


@dataclass(frozen=True)
class ArtifactCard:
    """What a trained artifact is, and what it saw in all stages of its training and of all that it started from.

    seconds: of training it. sources: folders of the lab's datasets that it was made from.
    """

    name: str
    seen: tuple[Seen, ...]
    seconds: float = 0.0
    parameters: int = 0
    steps: int = 0
    sources: tuple[str, ...] = ()


def require_within(card: ArtifactCard, may: Sequence[Seen]) -> None:
    """Refuse an artifact that saw a label which an arm may not have seen.

    may: labels of datasets that are granted, of all or some episodes; what is not named is not granted. Pictures and
    words are no labels.

    Raises:
        UserError: it saw more.
    """
    for seen in card.seen:
        for column in seen.labels:
            granted = [m.episodes for m in may if m.dataset == seen.dataset and column in m.labels]
            if None in granted:
                continue
            known = {episode for episodes in granted if episodes is not None for episode in episodes}
            if seen.episodes is None or not known.issuperset(seen.episodes):
                count = "all episodes" if seen.episodes is None else f"{len(seen.episodes)} episodes"
                least = f"{len(known)} of them" if known else "none"
                raise UserError(
                    f"{card.name} saw {column} of {count} of {seen.dataset}, its arm may have seen {least}: "
                    "train it without"
                )


def ledger(seen: Sequence[Seen]) -> tuple[Seen, ...]:
    """The same without what is said twice."""
    return tuple(dict.fromkeys(seen))


def write_card(folder: Path, card: ArtifactCard) -> None:
    """Write `artifact.json` beside an artifact's weights."""
    write_json(folder / CARD, asdict(card))


def read_card(folder: Path) -> ArtifactCard:
    """The card beside an artifact's weights.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path, remedy = folder / CARD, "make the artifact again"
    content = read_json(path, remedy)
    try:
        changed = {"seen": tuple(map(_seen, content["seen"])), "sources": tuple(content.get("sources", ()))}
        return ArtifactCard(**{**content, **changed})
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is no card of an artifact ({error}): {remedy}") from None


def _seen(content: Mapping[str, Any]) -> Seen:
    episodes = content["episodes"]
    return Seen(content["dataset"], tuple(content["columns"]), None if episodes is None else tuple(episodes))
