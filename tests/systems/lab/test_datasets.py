"""The lab: datasets whose names follow their settings, made once, with a card."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from presage.episodes.dataset import Dataset
from presage.episodes.episode import Episode
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset
from presage.errors import UserError
from presage.systems.lab import datasets as lab
from presage.systems.lab.datasets import CARD, choose, dataset, folder_of, make, read_card, wanted
from presage.systems.lab.recording import OBJECT, Recording, plan
from presage.worlds.collect import SEEDS_PER_COLLECTION
from presage.worlds.wordings import WORLDS


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_six_tasks_are_there_with_the_numbers_that_were_planned() -> None:
    full = {one.name: one.recording for one in wanted()}
    assert full["t3"].tasks + full["rest"].tasks == lab.T6 == full["noise"].tasks == full["play"].tasks
    assert {full[name].episodes for name in ("t3", "rest", "plus2")} == {100}
    assert set(full["many"].tasks) | set(lab.HELD_OUT) == set(WORLDS["pucks"]) and len(full["many"].tasks) == 6
    assert {(each.cameras, each.size) for name, each in full.items() if name not in ("pdemo", "pplay", "pnoise")} == {
        (("front", "top"), 64)
    }
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
    with pytest.raises(UserError, match="presage lab make play --seed 1"):
        dataset("play", seed=1)


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
    left = {path.name for path in folder_of(one).parent.iterdir()}
    assert left == {folder_of(one).name, f"{folder_of(one).name}.lock"}
    monkeypatch.setattr(lab, "write_recording", None)  # nothing is recorded again
    assert make(one) == card == read_card(one)
    (folder_of(one) / CARD).write_text('{"name": 1}')
    with pytest.raises(UserError, match="repeat presage lab make"):
        make(one)


def test_a_debug_twin_is_made_where_it_is_missing(monkeypatch) -> None:
    made = []
    monkeypatch.setattr(lab, "make", made.append)
    monkeypatch.setattr(lab, "read_card", lambda one: made)
    assert dataset("play", quick=True).name.startswith("play-") and made == choose(["play"], quick=True)


def test_a_second_call_waits_for_the_first_and_takes_what_it_made(monkeypatch) -> None:
    one, begun, made = choose(["plus2"], quick=True)[0], threading.Event(), []

    def slow(recording: Recording, root: Path, workers: int) -> dict[str, float]:
        made.append(root)
        begun.set()
        time.sleep(0.2)
        write_dataset(root.with_name("spool"), root, fps=5, robot_type=None)
        return {"rows": 1, "seconds": 1.0, "rows_per_s": 1.0}

    spool_episode(folder_of(one).with_name("spool"), "0", Episode({}, {"x": np.zeros((1, 1))}, ""), 5)
    monkeypatch.setattr(lab, "write_recording", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(make, one)
        begun.wait(5)
        second = pool.submit(make, one)
        assert first.result() == second.result()
    assert len(made) == 1
