"""All that checks share, in the order in which it is made: datasets first, then what is trained on them.

A call that was killed goes on when it is repeated. What lies there is known by its content: a dataset by its settings,
an artifact by its recipe and its data, so whatever is asked for again is opened, and whatever changed is made anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from presage.episodes.user_cache import cache_folder
from presage.errors import UserError
from presage.systems.lab.alignment import DRIVERS, HEAD, with_head
from presage.systems.lab.arms import recorded, sized, starts_of, steps_of
from presage.systems.lab.artifacts import artifacts_folder, made_artifacts
from presage.systems.lab.datasets import PUSHT, T3, Card, Wanted, folder_of, make, read_card, wanted
from presage.systems.lab.files import read_json
from presage.systems.lab.labels import ArtifactCard
from presage.systems.lab.pool import CODEC, LEARNED, learned, name_of, pool, true_success
from presage.systems.lab.starts import tuning_block
from presage.systems.lab.world_base import W_BASE, table_world
from presage.systems.onex_evaluation import onex_evaluation
from presage.systems.system import SMALL
from presage.training.recorded import shape_of

ROWS_PER_EPISODE = {"expert": 25, "perturbed": 60, "play": 60}
ROWS_PER_SECOND, PUSHT_ROWS_PER_SECOND = 200, 100
"""That two idle cores record"""
SUCCESS, SUCCESS_STARTS, SUCCESS_BLOCK = "success", 42, 2
"""Folder of the pool's true success, and the tuning starts that it is measured on"""


@dataclass(frozen=True)
class Piece:
    """Something that is trained or measured once.

    rows: numbers of the systems that use it. needs: datasets. seconds: on two idle cores, about. cards: names of the
    artifacts that it consists of. make: `make(quick, out)`, where `out` is for debug twins.
    """

    name: str
    what: str
    rows: tuple[int, ...]
    needs: tuple[str, ...]
    seconds: float
    cards: tuple[str, ...]
    make: Callable[[bool, Path], Any]


def _head(quick: bool, out: Path) -> None:
    shape, size = shape_of(recorded("noise", quick)), sized(SMALL, quick)
    with_head(table_world(quick, out), onex_evaluation(shape, size), shape, quick, out)


def _success(quick: bool, out: Path) -> None:
    starts = starts_of(tuning_block(SUCCESS_BLOCK), T3, SUCCESS_STARTS, quick)
    true_success(pool(quick, out), starts, _success_folder(quick, out), steps_of(quick))


PIECES = (
    Piece(W_BASE, "a video model of the table that is told actions", (14,), ("noise", "play"), 2700, (W_BASE,),
          table_world),
    Piece("pool", "ten policies to be ranked, on one codec", (14,), ("t3",), 1200, (CODEC, *map(name_of, LEARNED)),
          pool),
    Piece("drivers", "four policies whose episodes world models learn from", (14,), ("t3",), 480,
          (CODEC, *map(name_of, DRIVERS)), lambda quick, out: learned(DRIVERS[:1] if quick else DRIVERS, quick, out)),
    Piece(HEAD, "reads off a frame whether its task is solved; it was shown put-backs", (14,), ("noise", "play", "t3"),
          240, (HEAD,), _head),
    Piece("pool-success", "how often each policy of the pool truly succeeds, on tuning starts", (14,), ("t3",), 240, (),
          _success),
)  # fmt: skip


def quick_folder() -> Path:
    """Where artifacts of debug twins lie."""
    return cache_folder() / "lab" / "quick"


# -- making -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    name: str
    what: str
    seconds: float
    """That it is expected to take"""
    there: bool
    make: Callable[[], Any]


def steps_to(names: Sequence[str], quick: bool, seed: int, workers: int) -> list[Step]:
    """What has to be done for all that is named, in order; for everything where nothing is named.

    Raises:
        UserError: there is nothing of that name, or an artifact of another lab than that of seed 0 is named.
    """
    datasets = wanted(quick, seed)
    pieces = PIECES if seed == 0 else ()  # checks use the lab of seed 0
    known = [*(one.name for one in datasets), *(piece.name for piece in pieces)]
    for name in names:
        if name not in known:
            raise UserError(f"the lab has no {name!r}; choose from {', '.join(known)}")
    chosen = [piece for piece in pieces if not names or piece.name in names]
    needed = {*names, *(dataset for piece in chosen for dataset in piece.needs)}
    there = {card.name for card in current(quick)}
    steps = [
        Step(one.name, one.what, seconds_of(one), read_card(one) is not None, partial(make, one, workers))
        for one in datasets
        if not names or one.name in needed
    ]
    for piece in chosen:
        done = bool(piece.cards) and there.issuperset(piece.cards) and not quick
        steps.append(Step(piece.name, piece.what, piece.seconds, done, partial(piece.make, quick, quick_folder())))
    return steps


def seconds_of(one: Wanted) -> float:
    """What recording a dataset takes, about."""
    recording = one.recording
    rows = recording.episodes * len(recording.tasks) * ROWS_PER_EPISODE[recording.behaviour]
    return rows / (PUSHT_ROWS_PER_SECOND if recording.tasks == PUSHT else ROWS_PER_SECOND)


def make_all(steps: Sequence[Step], say: Callable[[str], None]) -> Iterator[Step]:
    """Do one after the other; each comes back when it is done. What is there is opened, which shows that it is whole.

    say: is told what begins, how long it takes, and how long all takes yet, by the pace of those that were made.
    """
    expected = spent = 0.0
    for number, step in enumerate(steps, 1):
        pace = spent / expected if expected else 1.0
        left = pace * sum(each.seconds for each in steps[number - 1 :] if not each.there)
        took = "there" if step.there else f"about {minutes(pace * step.seconds)}, {minutes(left)} left"
        say(f"[{number}/{len(steps)}] {step.name}: {step.what} ({took})")
        began = monotonic()
        step.make()
        if not step.there:
            expected, spent = expected + step.seconds, spent + monotonic() - began
        yield step


def minutes(seconds: float) -> str:
    return f"{max(1, seconds):.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


# -- what is there ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shelf:
    """datasets, artifacts: what is there of each; those of other datasets than the present ones are not. success:
    policy of the pool -> 1 or 0 for each start."""

    datasets: list[tuple[Wanted, Card | None]]
    artifacts: list[tuple[Piece, list[ArtifactCard]]]
    success: dict[str, list[float]]


def shelf(quick: bool, seed: int = 0) -> Shelf:
    """All that is wanted, and what of it is there.

    Raises:
        UserError: a card is damaged.
    """
    datasets = [(one, read_card(one)) for one in wanted(quick, seed)]
    if seed:
        return Shelf(datasets, [], {})
    cards = current(quick)
    pieces = [(piece, [card for card in cards if card.name in piece.cards]) for piece in PIECES]
    folder = _success_folder(quick, quick_folder())
    newest_last = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    kept = [(path, read_json(path, f"remove {path}")) for path in newest_last]
    return Shelf(datasets, pieces, {path.stem.rpartition("-")[0]: each["success"] for path, each in kept})


def current(quick: bool) -> list[ArtifactCard]:
    """Artifacts that were made from the lab's present datasets."""
    folders = {folder_of(one).name for one in wanted(quick)}
    return [card for card in made_artifacts(quick_folder() if quick else None) if folders.issuperset(card.sources)]


def seen_by(card: ArtifactCard) -> str:
    """The ledger in words: which labels it saw, and what it saw without any."""
    told = []
    for seen in (seen for seen in card.seen if seen.labels):
        count = "all" if seen.episodes is None else len(seen.episodes)
        told.append(f"{', '.join(seen.labels)} of {count} episodes of {seen.dataset}")
    bare = sorted({seen.dataset for seen in card.seen if not seen.labels})
    return "; ".join([*told, *([f"pictures and words of {', '.join(bare)}"] if bare else [])]) or "nothing"


def _success_folder(quick: bool, out: Path) -> Path:
    return artifacts_folder(out if quick else None) / SUCCESS
