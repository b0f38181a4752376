"""The page of the lab: what is there is shown, what is not says how it is made, and nothing is fetched."""

import base64
import io
import re
from html.parser import HTMLParser

import av
import pytest

from presage.interface.pages.lab_page import render
from presage.systems.lab.datasets import CARD, Card, choose, folder_of, make, wanted
from presage.systems.lab.inventory import PIECES, Shelf
from presage.systems.lab.labels import ArtifactCard, Seen

SUCCESS = {"flow,_3_demonstrations": [1.0, 0.0, 0.0, 0.0], "still": [0.0] * 4}


def made() -> tuple[Shelf, Card]:
    """A lab with one dataset and one artifact."""
    card = make(choose(["plus2"], quick=True)[0])
    datasets = [(one, card if one.name == "plus2" else None) for one in wanted(quick=True)]
    base = ArtifactCard("w-base", (Seen("play", ("action",)),), 2_640.0, 1_234_567, 6_000)
    return Shelf(datasets, [(piece, [base] if piece.name == "w-base" else []) for piece in PIECES], SUCCESS), card


def test_it_shows_films_ledgers_and_rates(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, card = made()
    said = render(found)
    HTMLParser().feed(said)
    assert (folder_of(choose(["plus2"], quick=True)[0]) / CARD).exists() and f"{card.rows:,} rows" in said
    films = re.findall(r'src="data:video/mp4;base64,([^"]+)"', said)
    assert len(films) == 1
    with av.open(io.BytesIO(base64.b64decode(films[0]))) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) > 5 and frames[0].shape[1] > frames[0].shape[0] / 2 and (frames[0] != frames[-1]).any()
    for part in ("1 of 9 datasets", "presage lab make play", "action of all episodes of play", "1,234,567", "44 min"):
        assert part in said
    assert "not made: presage lab make pool" in said and "flow, 3 demonstrations</td><td>0.25" in said
    assert "1X World Model" in said and "http" not in said.replace("http-equiv", "")


def test_an_empty_lab_says_how_it_is_made() -> None:
    said = render(Shelf([(one, None) for one in wanted()], [(piece, []) for piece in PIECES], {}))
    assert "0 of 9 datasets" in said and said.count("not made") == 9 + 4 and "Not measured yet" in said
