"""The lab: the datasets that all checks share, made by one command, so that systems compare.

A dataset lies in the user's cache folder under a name that follows its settings, so a changed setting never meets old
data. Beside rows, columns and videos its folder holds `card.json`: what it is, and what it took.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from presage.episodes.dataset import Dataset
from presage.episodes.user_cache import cache_folder, locked
from presage.errors import UserError
from presage.systems.lab.files import read_json, write_json
from presage.systems.lab.recording import Recording, write_recording
from presage.worlds.collect import CHUNK
from presage.worlds.wordings import WORLDS

T3 = ("push-v3", "drawer-open-v3", "door-open-v3")
REST = ("pick-place-v3", "button-press-topdown-v3", "window-open-v3")
T6 = (*T3, *REST)
PLUS2 = ("drawer-close-v3", "window-close-v3")
PUSHT = ("pusht",)
HELD_OUT = ("pucks-blue-left", "pucks-yellow-middle", "pucks-green-right")
"""Combinations of colour and place that are never recorded; each colour and each place is, with two others."""
MANY = tuple(task for task in WORLDS["pucks"] if task not in HELD_OUT)
FIRST_COLLECTION = 900
"""The lab's seeds lie beyond those of `presage collect --seed S` for S up to this."""
COLLECTIONS_PER_SEED = 10
EDITION = 1
"""Raised when the code that records changes what is recorded: datasets of earlier editions are not used any more."""
CARD = "card.json"


@dataclass(frozen=True)
class Wanted:
    """A dataset of the lab."""

    name: str
    what: str
    recording: Recording
    rows: tuple[int, ...]
    """Numbers of the systems that use it."""


def wanted(quick: bool = False, seed: int = 0) -> list[Wanted]:
    """All datasets. quick: two episodes of at most two tasks each, to exercise a check in seconds."""
    first = FIRST_COLLECTION + seed * COLLECTIONS_PER_SEED
    t6_rows = (1, 2, 19, 22, 25, 26, 30, 34, 35)
    t3_rows = (4, 11, 14, 15, 16, 17, 18, 21, 24, 36)
    full = [
        Wanted("t3", "demonstrations", Recording(T3, "expert", 100, first), (*t6_rows, *t3_rows)),
        Wanted(
            "rest", "demonstrations of three more tasks", Recording(REST, "expert", 100, first + 1), (*t6_rows, 18, 24)
        ),
        Wanted(
            "plus2",
            "demonstrations of two more tasks",
            Recording(PLUS2, "expert", 100, first + 2),
            (10, 17, 18, 19, 21, 24, 25),
        ),
        Wanted("noise", "experts disturbed in bursts", Recording(T6, "perturbed", 50, first + 3), (4, 10, 15)),
        Wanted(
            "play", "contacts without a purpose", Recording(T6, "play", 50, first + 4), (1, 2, 4, 5, 6, 10, 15, 30, 36)
        ),
        Wanted("many", "demonstrations of six of nine combinations", Recording(MANY, "expert", 75, first + 5), (8, 27)),
        Wanted(
            "pdemo", "demonstrations of Push-T", Recording(PUSHT, "expert", 300, first + 6, ("top",)), (3, 9, 13, 23)
        ),
        Wanted("pplay", "play in Push-T", Recording(PUSHT, "play", 160, first + 7, ("top",)), (3, 9)),
        Wanted(
            "pnoise",
            "experts of Push-T disturbed in bursts",
            Recording(PUSHT, "perturbed", 200, first + 8, ("top",)),
            (3, 9, 13, 23),
        ),
    ]
    if not quick:
        return full
    return [replace(w, recording=replace(w.recording, tasks=w.recording.tasks[:2], episodes=2)) for w in full]


def choose(names: Sequence[str], quick: bool = False, seed: int = 0) -> list[Wanted]:
    """Some datasets by name; all where none is named.

    Raises:
        UserError: there is no such dataset.
    """
    known = {each.name: each for each in wanted(quick, seed)}
    for name in names:
        if name not in known:
            raise UserError(f"the lab has no dataset {name!r}; choose from {', '.join(known)}")
    return [known[name] for name in names or known]


def settings_of(one: Wanted) -> dict[str, Any]:
    """What the content of a dataset follows from."""
    from importlib.metadata import version

    packages = {name: version(name) for name in ("metaworld", "mujoco")}
    return {**asdict(one.recording), "chunk": CHUNK, "edition": EDITION, **packages}


def folder_of(one: Wanted) -> Path:
    digest = hashlib.sha256(json.dumps(settings_of(one), sort_keys=True).encode()).hexdigest()[:10]
    return cache_folder() / "lab" / f"{one.name}-{digest}"


@dataclass(frozen=True)
class Card:
    """What a dataset of the lab is, and what recording it took. `seconds` and `rows_per_s` are those of the call that
    completed it, which is not all where it was interrupted."""

    name: str
    what: str
    episodes: int
    rows: int
    megabytes: float
    seconds: float
    rows_per_s: float
    columns: tuple[str, ...]
    settings: dict[str, Any]


def read_card(one: Wanted) -> Card | None:
    """The card of a dataset; None where it was not made.

    Raises:
        UserError: its card is damaged.
    """
    path = folder_of(one) / CARD
    if not path.exists():
        return None
    remedy = f"delete {path.parent} and repeat presage lab make"
    content = read_json(path, remedy)
    try:
        return Card(**{**content, "columns": tuple(content["columns"])})
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is no card ({error}): {remedy}") from None


def make(one: Wanted, workers: int = 2) -> Card:
    """Record a dataset, or leave it as it is; a call that was killed continues when it is repeated.

    Raises:
        UserError: it cannot be recorded or written.
    """
    root = folder_of(one)
    with locked(root):
        return read_card(one) or _record(one, root, workers)


def _record(one: Wanted, root: Path, workers: int) -> Card:
    bare = root.with_name(f"{root.name}.bare")  # a dataset that lacks only its card
    shutil.rmtree(bare, ignore_errors=True)
    measured = write_recording(one.recording, bare, workers)
    data = Dataset(bare)
    card = Card(
        one.name,
        one.what,
        len(data.episodes),
        data.num_rows,
        round(sum(file.stat().st_size for file in bare.rglob("*") if file.is_file()) / 1e6, 2),
        round(measured["seconds"], 1),
        round(measured["rows_per_s"], 1),
        tuple(data.features),
        json.loads(json.dumps(settings_of(one))),
    )
    write_json(bare / CARD, asdict(card))
    os.rename(bare, root)
    return card


def dataset(name: str, quick: bool = False, seed: int = 0) -> Path:
    """Folder of a dataset that was made. A debug twin is made where it is missing: it takes seconds.

    Raises:
        UserError: it is not there.
    """
    one = choose([name], quick, seed)[0]
    if quick:
        make(one)
    if read_card(one) is None:
        option = f" --seed {seed}" if seed else ""
        raise UserError(f"the lab's dataset {name} is not on this machine: presage lab make {name}{option}")
    return folder_of(one)
