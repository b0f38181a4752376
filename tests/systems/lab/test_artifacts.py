"""Artifacts are made once, their ledger follows from their data, and an arm that may not have seen as much has none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.recorded import moving_square

from presage.errors import UserError
from presage.networks.composed import Composed
from presage.systems.lab import alignment
from presage.systems.lab.artifacts import PICTURES, WORDS, Artifact, Source, artifact, made_artifacts
from presage.systems.lab.labels import LABELS, Seen, read_card
from presage.systems.lab.outcome import COVERAGE, OUTCOME, with_outcome
from presage.systems.lab.world_base import W_BASE, world_base
from presage.systems.onex_evaluation import check, onex_evaluation
from presage.systems.pad import pad
from presage.systems.system import DEBUG, System
from presage.training.recorded import shape_of

PLAY = moving_square(8)
SHAPE = shape_of(PLAY)
SYSTEM = world_base(SHAPE, DEBUG, {"labelled": 1.0})


def made(out: Path, data: Source, may: list[Seen] | None = None, after: list[Artifact] | None = None) -> Artifact:
    return artifact(W_BASE, SYSTEM, SHAPE, {"labelled": data}, out, after=after or [], may=may)


def test_it_is_made_once_under_a_name_that_follows_its_content(tmp_path: Path) -> None:
    data = Source(PLAY, "play", folder="play-0123456789")
    first, again = (made(tmp_path, data) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.model.state_dict().values(), again.model.state_dict().values()))
    assert first.folder == again.folder and first.card == again.card == read_card(first.folder)
    assert first.card.sources == ("play-0123456789",) and first.card.seconds > 0 and first.card.parameters > 1000
    others = [
        made(tmp_path, Source(moving_square(8, seed=1), "play")),
        made(tmp_path, Source(with_outcome(PLAY, COVERAGE, np.arange(64)), "play")),
        made(tmp_path, data, after=[first]),
    ]
    assert len({each.folder for each in [first, *others]}) == 4
    assert [card.name for card in made_artifacts(tmp_path)] == [W_BASE] * 4


def told_nothing(data: Source) -> Source:
    return replace(data, recorded=data.recorded.without_labels(range(8)))


@pytest.mark.parametrize(
    ("change", "states", "labels"),
    [
        (lambda data: data, False, {"action", "quality"}),
        (lambda data: data, True, {"action", "quality", "observation.state"}),
        (told_nothing, True, set()),
        (lambda data: replace(data, recorded=with_outcome(told_nothing(data).recorded, OUTCOME, np.ones(64))), True,
         {"next.success"}),
        (lambda data: replace(data, recorded=with_outcome(data.recorded, COVERAGE, np.full(64, np.nan))), False,
         {"action", "quality"}),
    ],
)  # fmt: skip
def test_what_is_given_has_been_seen(change: Callable[[Source], Source], states: bool, labels: set[str]) -> None:
    seen = change(Source(PLAY, "play", (3, 4))).seen(states)
    assert set(seen.labels) == labels and {PICTURES, WORDS} <= set(seen.columns) and seen.episodes == (3, 4)
    assert labels <= set(LABELS)


def test_a_model_with_a_stream_of_states_has_seen_them(tmp_path: Path) -> None:
    system: System = pad(SHAPE, DEBUG, {"labelled": 1.0})
    card = artifact("pad", system, SHAPE, {"labelled": Source(PLAY, "play")}, tmp_path).card
    assert "observation.state" in card.seen[0].labels


def test_what_it_starts_from_saw_counts(tmp_path: Path) -> None:
    base = made(tmp_path, Source(PLAY, "play"))
    later = made(tmp_path, Source(PLAY.without_labels(range(8)), "t3"), after=[base])
    assert {seen.dataset: bool(seen.labels) for seen in later.card.seen} == {"play": True, "t3": False}
    with pytest.raises(UserError, match="w-base saw action of all episodes of play"):
        made(tmp_path, Source(PLAY.without_labels(range(8)), "t3"), may=[Seen("t3", LABELS)], after=[base])


def test_an_arm_that_may_not_have_seen_as_much_gets_none_and_nothing_is_trained(tmp_path: Path) -> None:
    few = Source(PLAY.only([1, 2]), "t3", (1, 2))
    with pytest.raises(UserError, match="saw action of 2 episodes of t3, its arm may have seen 1 of them"):
        made(tmp_path, few, may=[Seen("t3", LABELS, (1,))])
    assert not (tmp_path / "artifacts").exists()
    assert isinstance(made(tmp_path, few, may=[Seen("t3", LABELS, (1, 2))]).model, Composed)


def test_a_check_refuses_a_base_that_saw_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "MAY", tuple(seen for seen in alignment.MAY if seen.dataset != "play"))
    with pytest.raises(UserError, match="w-base saw action of all episodes of play, its arm may have seen none"):
        check((), (0,), True, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_head_of_a_check_saw_outcomes_and_no_action_of_a_demonstration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_the_lab(name: str, quick: bool) -> Source:
        return Source(moving_square(8), name)

    monkeypatch.setattr(alignment, "source", of_the_lab)
    monkeypatch.setattr(alignment, "Dataset", lambda path: path)
    monkeypatch.setattr(alignment, "dataset", lambda name, quick: name)
    monkeypatch.setattr(alignment, "success_shown", lambda opened: np.arange(64) % 8 == 7)
    monkeypatch.setattr(alignment, "put_back", lambda *a: (moving_square(2).without_labels([0, 1]), np.arange(16) % 2))
    base = made(tmp_path, Source(moving_square(8), "play"))
    alignment.with_head(base, onex_evaluation(SHAPE, DEBUG), SHAPE, True, tmp_path)
    (card,) = [card for card in made_artifacts(tmp_path) if card.name == alignment.HEAD]
    labels = {seen.dataset: set(seen.labels) for seen in card.seen}
    told = {"next.success"}
    assert labels == {"play": {"action", "quality"}, "noise": told, "t3": told, "put-back": told}
