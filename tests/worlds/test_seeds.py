"""Seeds of evaluation never meet those of recorded episodes."""

from hypothesis import given
from hypothesis import strategies as st

from presage.errors import UserError
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
