"""The page of the lab: films of its datasets, artifacts with the labels that they saw, and how good its pool is."""

import base64
import html
from collections.abc import Sequence

import numpy as np

from presage.episodes.dataset import Dataset
from presage.interface.pages.page import document
from presage.measures.statistics import wilson
from presage.results.clips import encode_mp4, one_side
from presage.systems.lab.datasets import Card, Wanted, folder_of
from presage.systems.lab.inventory import Piece, Shelf, minutes, seen_by
from presage.systems.lab.labels import ArtifactCard
from presage.systems.table import ROWS

MOST_TASKS, MOST_ROWS = 3, 60
"""Of a film"""


def render(shelf: Shelf) -> str:
    """The page as text.

    Raises:
        UserError: a dataset that is there is damaged.
    """
    made = sum(card is not None for _, card in shelf.datasets)
    films = "".join(_dataset(one, card) for one, card in shelf.datasets)
    head = ("artifact", "for", "saw", "parameters", "steps", "took")
    trained = [row for piece, cards in shelf.artifacts if piece.cards for row in _artifact(piece, cards)]
    rates = [_rate(name, outcomes) for name, outcomes in shelf.success.items()]
    return document(
        "The lab",
        f"""<h1>The lab</h1>
<p class="lead">What all checks of systems share: {made} of {len(shelf.datasets)} datasets are there. A quarter of every
start box is in none of them.</p>
<div class="clips">{films}</div>
<h2>Artifacts</h2>
<p>Trained once. A check refuses an artifact that saw more labels than its arm may have seen; pictures and words are no
labels.</p>
{_table(head, trained) if trained else "<p>None belongs to this lab.</p>"}
<h2>The pool of policies</h2>
{_table(("policy", "true success", "95 %", "starts"), rates) if rates else "<p>Not measured yet.</p>"}""",
    )


def _dataset(one: Wanted, card: Card | None) -> str:
    users = f'<span class="soft">for {_(_systems(one.rows))}</span>'
    if card is None:
        return (
            f"<figure><figcaption><b>{_(one.name)}</b> {_(one.what)}: not made; "
            f"<code>presage lab make {_(one.name)}</code> {users}</figcaption></figure>\n"
        )
    film = base64.b64encode(encode_mp4(film_of(one), 5.0)).decode()
    said = (
        f"{card.episodes:,} episodes, {card.rows:,} rows, {card.megabytes:,.0f} MB; recorded in {minutes(card.seconds)}"
    )
    return (
        f'<figure><video controls loop muted playsinline aria-label="{_(one.what)}" src="data:video/mp4;base64,{film}">'
        f"</video><figcaption><b>{_(one.name)}</b> {_(one.what)}. {said}. {users}</figcaption></figure>\n"
    )


def film_of(one: Wanted) -> np.ndarray:
    """(T, H, W, 3) uint8: the first episodes of a dataset beside each other, its cameras one below the other. Who is
    done stands still."""
    data = Dataset(folder_of(one))
    count = min(MOST_TASKS, len(one.recording.tasks), len(data.episodes))
    sides = [one_side({c: data.frames(e, c)[:MOST_ROWS] for c in one.recording.cameras}) for e in range(count)]
    rows = max(map(len, sides))
    return np.concatenate([np.concatenate([x, x[-1:].repeat(rows - len(x), 0)]) for x in sides], 2)


def _artifact(piece: Piece, cards: Sequence[ArtifactCard]) -> list[list[str]]:
    users = _systems(piece.rows)
    if not cards:
        return [[piece.name, users, f"not made: presage lab make {piece.name}", "", "", ""]]
    return [
        [card.name, users, seen_by(card), f"{card.parameters:,}", f"{card.steps:,}", minutes(card.seconds)]
        for card in cards
    ]


def _rate(name: str, outcomes: Sequence[float]) -> list[str]:
    value, low, high = wilson(round(sum(outcomes)), len(outcomes))
    return [name.replace("_", " "), f"{value:.2f}", f"[{low:.2f}, {high:.2f}]", f"{len(outcomes)}"]


def _systems(numbers: Sequence[int]) -> str:
    return ", ".join(row.title for row in ROWS if row.number in numbers)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first = "".join(f"<th>{_(cell)}</th>" for cell in head)
    rest = "".join("<tr>" + "".join(f"<td>{_(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{first}</tr></thead><tbody>{rest}</tbody></table></div>'


def _(text: str) -> str:
    return html.escape(text)
