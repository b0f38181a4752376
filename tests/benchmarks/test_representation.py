"""Equal heads on any model of the robot; of an untrained model the figures mean nothing."""

import math
from pathlib import Path

import pytest
import torch
from tests.tiny import tiny_model, tiny_system

from presage.benchmarks import representation
from presage.benchmarks.common import BenchArgs
from presage.systems.checkpoint import open_model
from presage.systems.shipped import PARTS


def test_a_model_of_pixels_is_set_beside_its_codec_a_reader_and_a_network_that_learned_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(representation, "DATASETS", ("t3",))
    monkeypatch.setattr(representation, "T6", representation.T6[:1])
    monkeypatch.setattr(representation, "max_steps", lambda args: 2)
    args = BenchArgs(tiny_system(tmp_path / "model", "reference"), 0, None, torch.device("cpu"), quick=True)
    figures = representation.run(args)
    for name in ("features", "codec", "reader", "random_weights"):
        assert math.isfinite(figures[f"success_{name}"]) and math.isfinite(figures[f"error_{name}"])
    assert {row["policy"] for row in args.rows} == {"features", "codec", "reader", "random_weights"}


def test_the_reader_is_the_models_own_or_the_shipped_one_where_that_sees_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tiny_model(size=64)
    assert representation.sources(own, 0)["reader"][0] is own
    pixels = open_model(tiny_system(tmp_path / "two", "reference"))
    reader, source = representation.sources(pixels, 0)["reader"]
    assert source == "reader" and representation.reads(reader) and not representation.reads(pixels)
    assert reader.stored().keys() == open_model(PARTS).stored().keys()
    alone = open_model(tiny_system(tmp_path / "one", "reference", ("top",)))
    assert "reader" not in representation.sources(alone, 0)
    assert "success_reader is left out" in capsys.readouterr().err
