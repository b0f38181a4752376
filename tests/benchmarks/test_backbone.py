"""The backbone bench reaches its goals on a random model, and would notice what it is there to notice."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import presage.benchmarks.backbone as bench
from presage.benchmarks.common import BenchArgs
from presage.interface.pages.figures import reached
from presage.networks.packed import Packed
from presage.timeline.attention import Rule

ARGS = BenchArgs(Path("unused"), 0, None, torch.device("cpu"), quick=True)


def test_every_goal_is_reached() -> None:
    figures = bench.run(ARGS)
    assert all(good for _, _, _, good in reached("backbone", figures)), figures
    assert 0 < figures["round_trip_difference_full"] < 0.1  # stored in bf16


def test_a_mask_that_lets_the_future_through_is_noticed(wan_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def everything(context: int) -> Rule:
        return lambda q, k: torch.ones(len(q.step), len(k.step), dtype=torch.bool)

    model = bench.open_random(wan_folder, bench.LORA, replace(ARGS, seed=1))
    monkeypatch.setattr(type(model), "backbone", Packed(model.network, model.streams, model.context, everything))
    assert bench.future_leak(model, 0) > 1e-3
