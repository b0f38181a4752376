"""Models that several checks start from: trained once, kept in the user's cache folder, with a card of what they saw.

An artifact's folder is named after its recipe and its data, so a changed one never meets old weights. A killed training
goes on when it is asked for again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from presage.episodes.user_cache import cache_folder, locked
from presage.networks.composed import Composed
from presage.systems.lab.arms import trained
from presage.systems.lab.labels import ArtifactCard, Seen, write_card
from presage.systems.system import Shape, System
from presage.training.fingerprint import described, hash_of
from presage.training.recorded import Recorded


def artifact(
    name: str,
    system: System,
    shape: Shape,
    data: Mapping[str, Recorded],
    seen: Sequence[Seen],
    out: Path | None = None,
    seed: int = 0,
) -> Composed:
    """A trained model and its card (`labels.read_card`).

    seen: what its training reads, for checks that must refuse it. out: where it lies, for debug twins; the cache folder
    by default. seed: of weights and batches; an artifact of another seed has another name.
    """
    root = cache_folder() / "lab" / "artifacts" if out is None else out / "artifacts"
    folder = root / folder_name(name, system, shape, data)
    with locked(folder):
        began = monotonic()
        made = (folder / "artifact.json").exists()
        model = trained(system, shape, data, seed, folder)
        if not made:
            write_card(folder, ArtifactCard(name, tuple(seen), monotonic() - began))
    return model


def folder_name(name: str, system: System, shape: Shape, data: Mapping[str, Recorded]) -> str:
    """It follows from stages, sizes of weights and data."""
    sizes = {key: list(x.shape) for key, x in system.build(shape).state_dict().items()}
    made_from = {
        "stages": [described(stage) for stage in system.stages],
        "sizes": sizes,
        "data": {kind: part.fingerprint for kind, part in data.items()},
    }
    return f"{name}-{hash_of(made_from)[:10]}"
