"""Models that several checks start from: trained once, kept in the user's cache folder, with a card of what they saw.

An artifact's folder is named after its recipe, its data and what it starts from, so a changed one never meets old
weights. A killed training goes on when it is asked for again. The ledger of the card follows from the data that the
training is given: nobody writes it down, so nobody can forget a label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from presage.episodes.user_cache import cache_folder, locked
from presage.networks.composed import STATE, Composed
from presage.systems.lab.arms import recorded, seconds_of, trained
from presage.systems.lab.datasets import dataset
from presage.systems.lab.labels import ArtifactCard, Seen, ledger, read_card, require_within, write_card
from presage.systems.lab.outcome import COVERAGE, OUTCOME
from presage.systems.system import Shape, System
from presage.training.fingerprint import described, hash_of
from presage.training.recorded import Recorded

PICTURES, WORDS = "observation.images", "instruction"
TOLD_BY = {OUTCOME.name: "next.success", COVERAGE.name: "observation.environment_state"}
"""Stream of an outcome -> the column that it is made of"""


@dataclass(frozen=True, eq=False)
class Source:
    """Data of a training, and where they are from: a dataset by name, some or all of its episodes."""

    recorded: Recorded
    dataset: str
    episodes: tuple[int, ...] | None = None
    folder: str = ""
    """Of the lab's dataset; empty where it is none"""

    def seen(self, states: bool) -> Seen:
        """All columns that are given, whether anything reads them or not. states: the model has a stream of them."""
        labels = ["action", "quality", *["observation.state"] * states] if self.recorded.labelled.any() else []
        told = [TOLD_BY[name] for name, x in self.recorded.latents.items() if name in TOLD_BY and np.isfinite(x).any()]
        return Seen(self.dataset, (PICTURES, WORDS, *labels, *told), self.episodes)


def source(name: str, quick: bool) -> Source:
    """A dataset of the lab as it is.

    Raises:
        UserError: it was not made.
    """
    return Source(recorded(name, quick), name, folder=dataset(name, quick).name)


@dataclass(frozen=True, eq=False)
class Artifact:
    model: Composed
    card: ArtifactCard
    folder: Path


def artifact(
    name: str,
    system: System,
    shape: Shape,
    data: Mapping[str, Source],
    out: Path | None = None,
    seed: int = 0,
    after: Sequence[Artifact] = (),
    may: Sequence[Seen] | None = None,
) -> Artifact:
    """A trained model with its card.

    out: where it lies, for debug twins; the cache folder by default. seed: of weights and batches; an artifact of
    another seed has another name. after: those whose weights it starts from. may: what the arm that asks for it may
    have seen; None: nobody asks for it as an arm.

    Raises:
        UserError: it saw more than the arm may; nothing is trained then.
    """
    model = system.build(shape)
    states = any(stream.source == STATE for stream in model.streams)
    seen = [each for other in after for each in other.card.seen] + [part.seen(states) for part in data.values()]
    card = ArtifactCard(
        name,
        ledger(seen),
        parameters=sum(p.numel() for p in model.parameters()),
        steps=sum(stage.optimiser.steps for stage in system.stages),
        sources=tuple(sorted({part.folder for part in data.values() if part.folder})),
    )
    if may is not None:
        require_within(card, may)
    folder = artifacts_folder(out) / _folder_name(name, system, model, data, after)
    with locked(folder):
        model = trained(system, shape, {kind: part.recorded for kind, part in data.items()}, seed, folder)
        card = replace(card, seconds=sum(seconds_of(folder / stage.name) for stage in system.stages))
        write_card(folder, card)
    return Artifact(model, card, folder)


def artifacts_folder(out: Path | None = None) -> Path:
    """Of the user's cache, or of a debug twin."""
    return cache_folder() / "lab" / "artifacts" if out is None else out / "artifacts"


def made_artifacts(out: Path | None = None) -> list[ArtifactCard]:
    """Cards of all artifacts that are there.

    Raises:
        UserError: one is damaged.
    """
    return [read_card(path.parent) for path in sorted(artifacts_folder(out).glob("*/artifact.json"))]


def _folder_name(
    name: str, system: System, model: Composed, data: Mapping[str, Source], after: Sequence[Artifact]
) -> str:
    """It follows from stages, sizes of weights, data with their outcomes, and what it starts from."""
    told = {
        f"{kind} {key}": hash_of(x)
        for kind, part in data.items()
        for key, x in part.recorded.latents.items()
        if key in TOLD_BY
    }
    made_from = {
        "stages": [described(stage) for stage in system.stages],
        "sizes": {key: list(x.shape) for key, x in model.state_dict().items()},
        "data": {kind: part.recorded.fingerprint for kind, part in data.items()},
        "outcomes": told,
        "after": [other.folder.name for other in after],
    }
    return f"{name}-{hash_of(made_from)[1:11]}"
