"""The lab: datasets whose names follow their settings, made once, with a card."""

from dataclasses import replace

import numpy as np
import pytest

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.systems import lab
from presage.systems.lab import CARD, choose, dataset, folder_of, make, read_card, wanted
from presage.systems.recording import OBJECT, Recording, plan
from presage.worlds.collect import SEEDS_PER_COLLECTION


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_six_tasks_are_there_with_the_numbers_that_were_planned() -> None:
    full = {one.name: one.recording for one in wanted()}
    assert full["t3"].tasks + full["rest"].tasks == lab.T6 == full["noise"].tasks == full["play"].tasks
    assert {full[name].episodes for name in ("t3", "rest", "plus2")} == {100}
    assert {(each.cameras, each.size) for each in full.values()} == {(("front", "top"), 64)}
    assert all(len(one.recording.tasks) * one.recording.episodes <= 4 for one in wanted(quick=True))


def test_no_two_datasets_share_a_seed() -> None:
    millions = [plan(one.recording)[0].seed // SEEDS_PER_COLLECTION for seed in (0, 1, 8) for one in wanted(seed=seed)]
    assert len(set(millions)) == len(millions) and max(millions) < 999


def test_a_changed_setting_is_another_folder() -> None:
    one = wanted()[0]
    others = [
        replace(one, recording=replace(one.recording, size=32)),
        replace(one, recording=replace(one.recording, episodes=99)),
        choose(["t3"], quick=True)[0],
        choose(["t3"], seed=1)[0],
    ]
    assert len({folder_of(each) for each in [one, *others]}) == 5
    assert folder_of(one) == folder_of(replace(one, what="in other words"))
    assert folder_of(one).name.startswith("t3-")


def test_unknown_names_and_unmade_datasets_are_told_with_the_remedy() -> None:
    with pytest.raises(UserError, match="no dataset 't9'; choose from t3, rest"):
        choose(["t9"])
    with pytest.raises(UserError, match="presage lab make play --quick"):
        dataset("play", quick=True)


def test_a_dataset_is_made_once_and_has_a_card(monkeypatch) -> None:
    small = Recording(("drawer-close-v3",), "expert", 2, 907, cameras=("front",), size=16, supersample=1)
    one = lab.Wanted("small", "two demonstrations", small, ())
    assert read_card(one) is None
    card = make(one, workers=1)
    data = Dataset(folder_of(one))
    assert (card.rows, card.episodes) == (data.num_rows, 2) and card.seconds > 0 and card.rows_per_s > 0
    assert data.fps == 5 and data.cameras == ["front"] and OBJECT in card.columns
    assert data.column("action").shape == (card.rows, 16)
    assert np.isfinite(data.column(OBJECT)).all()
    assert [path.name for path in folder_of(one).parent.iterdir()] == [folder_of(one).name]  # nothing is left behind
    monkeypatch.setattr(lab, "write_recording", None)  # nothing is recorded again
    assert make(one) == card == read_card(one)
    (folder_of(one) / CARD).write_text('{"name": 1}')
    with pytest.raises(UserError, match="repeat presage lab make"):
        make(one)
