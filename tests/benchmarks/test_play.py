"""The bench of play measures what it says, on a random model."""

import shutil

import pytest
import torch
from tests.tiny import tiny_model

from presage.benchmarks import play
from presage.benchmarks.common import BenchArgs
from presage.errors import UserError
from presage.interface.pages.figures import GOALS
from presage.training.checkpoint import save_model


def test_play_bench(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        play.find_browser()
    except UserError as error:
        pytest.skip(str(error))
    press = play.press_keys
    monkeypatch.setattr(play, "press_keys", lambda page, seconds, seed: press(page, 3.0, seed))
    folder = save_model(tiny_model(size=64), tmp_path / "model", "a random model")
    figures = play.run(BenchArgs(folder, 0, None, torch.device("cpu"), quick=True))
    assert figures["players_difference"] == 0 < figures["players_apart"]
    assert figures["reload_resumes"] and figures["exit_code"] == 0
    assert figures["frames_per_s"] > 1 and 0 < figures["p50_ms"] <= figures["p95_ms"] and figures["keys"] > 1
    assert set(GOALS["play"]) <= set(figures)


def test_the_comparison_of_players_notices_a_difference() -> None:
    one = {0: b"\x00\x10", 1: b"\x00\x20"}
    assert play.largest_difference(one, {0: b"\x00\x10", 1: b"\x00\x20", 2: b"\xff\xff"}) == 0
    assert play.largest_difference(one, {0: b"\x00\x10", 1: b"\x00\x25"}) == 5
    assert play.largest_difference(one, {0: b"\x00\x10", 7: b"\x00\x20"}) == 255  # nothing to compare is no agreement


def test_a_missing_browser_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="apt-get install chromium"):
        play.find_browser()
