"""Few labels: splits that grow, and a ledger that refuses who has seen too much."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presage.episodes.dataset import Dataset
from presage.episodes.episode import Episode
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset
from presage.errors import UserError
from presage.systems.lab.labels import LABELS, ArtifactCard, Seen, few, read_card, require_within, write_card


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Dataset:
    """Nine episodes of two tasks."""
    folder = tmp_path_factory.mktemp("few")
    for number in range(9):
        info = {"task": "push" if number % 3 else "open"}
        episode = Episode({}, {"action": np.zeros((2, 1), np.float32)}, f"in words {number % 2}", info)
        spool_episode(folder / "spool", f"{number}", episode, 5)
    return Dataset(write_dataset(folder / "spool", folder / "data", fps=5, robot_type=None))


@given(n=st.integers(0, 3), seed=st.integers(0, 9))
def test_a_split_has_n_of_each_task_and_all_others(data: Dataset, n: int, seed: int) -> None:
    split = few(data, n, seed)
    tasks = [data.episodes[number].info["task"] for number in split.labelled]
    assert tasks.count("push") == tasks.count("open") == n
    assert sorted(split.labelled + split.free) == list(range(9))
    assert split == few(data, n, seed)
    assert n == 0 or set(few(data, n - 1, seed).labelled) < set(split.labelled)  # a curve over n is nested


def test_seeds_choose_others_and_too_many_are_refused(data: Dataset) -> None:
    assert len({few(data, 2, seed).labelled for seed in range(8)}) > 1
    with pytest.raises(UserError, match="open has 3 episodes, 4 labelled ones"):
        few(data, 4)


SEEN = ArtifactCard(
    "inverse",
    (Seen("t3", ("action", "observation.images"), (1, 2)), Seen("play", ("action",)), Seen("rest", ("words",))),
)
ALL = (Seen("t3", LABELS), Seen("play", LABELS))


@pytest.mark.parametrize(
    "may",
    [
        ALL,
        (Seen("t3", ("action",), (0, 1, 2)), Seen("play", ("quality", "action"))),
        (Seen("t3", LABELS, (1,)), Seen("t3", LABELS, (2,)), *ALL[1:]),
    ],
)
def test_who_saw_no_more_than_an_arm_may_is_taken(may: tuple[Seen, ...]) -> None:
    require_within(SEEN, may)


@pytest.mark.parametrize(
    ("may", "said"),
    [
        ((), "inverse saw action of 2 episodes of t3, its arm may have seen none: train it without"),
        ((Seen("t3", LABELS, (1, 3)), ALL[1]), "2 episodes of t3, its arm may have seen 2 of them"),
        ((Seen("t3", ("quality",)), ALL[1]), "2 episodes of t3, its arm may have seen none"),
        ((ALL[0], Seen("play", LABELS, (1, 2, 3))), "all episodes of play, its arm may have seen 3 of them"),
        ((ALL[0], Seen("rest", LABELS)), "all episodes of play, its arm may have seen none"),
    ],
)
def test_who_saw_more_is_refused_in_one_line(may: tuple[Seen, ...], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        require_within(SEEN, may)
    assert "\n" not in str(refused.value)


def test_a_card_lies_beside_the_weights(tmp_path) -> None:
    card = replace(SEEN, seconds=3.5, parameters=7, steps=20, sources=("t3-0123456789",))
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card
    (tmp_path / "artifact.json").write_text("{}")
    with pytest.raises(UserError, match="no card"):
        read_card(tmp_path)
    with pytest.raises(UserError, match="make the artifact again"):
        read_card(tmp_path / "nowhere")
