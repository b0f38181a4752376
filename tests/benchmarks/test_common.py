"""Seeds of evaluation never meet those of recorded episodes, and a result names its weights, not the machine's
folders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tiny import tiny_model

from presage.benchmarks import BENCHES
from presage.errors import UserError
from presage.results.provenance import describe_checkpoint, describe_commit, describe_machine, describe_versions
from presage.results.tables import success_figures
from presage.training.checkpoint import save_model
from presage.worlds.seeds import FIRST_CALIBRATION_SEED, FIRST_TRAINING_SEED, evaluation_seeds


@given(seed=st.integers(-2, 700), count=st.integers(1, 1200))
def test_evaluation_seeds_are_below_those_of_calibration_and_training(seed: int, count: int) -> None:
    try:
        seeds = evaluation_seeds(seed, count)
    except UserError:
        assert seed < 0 or seed >= 590 or count > 1000
        return
    assert len(set(seeds)) == count and 0 <= min(seeds) and max(seeds) < FIRST_CALIBRATION_SEED < FIRST_TRAINING_SEED
    assert not set(seeds) & set(evaluation_seeds((seed + 1) % 590, 1))


def test_success_has_bounds() -> None:
    figures = success_figures("s", [True] * 17 + [False] * 3)
    assert figures["s"] == 0.85 and figures["s_low"] < 0.7 < 0.9 < figures["s_high"]


def test_facts(tmp_path) -> None:
    folder = save_model(tiny_model(), tmp_path / "run" / "model", "card")
    described = describe_checkpoint(folder)
    assert described["name"] == "run" and len(described["sha256"]) == 16
    assert describe_checkpoint(folder) == described
    with pytest.raises(UserError, match="not a checkpoint"):
        describe_checkpoint(tmp_path)
    assert describe_machine()["cores"] >= 1 and "torch" in describe_versions() and describe_commit()


def test_every_bench_is_there() -> None:
    import importlib.util

    for module, line in BENCHES.values():
        assert importlib.util.find_spec(module) is not None and line
