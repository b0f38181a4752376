"""Numbers come back from their codes, and no column is squashed by an outlier or blown up because it hardly moves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from presage.codecs.scalars import FARTHEST, ScalarCodec, Spread, scale_remark

RNG = np.random.default_rng(0)


def one(values: np.ndarray) -> ScalarCodec:
    return ScalarCodec.fit(np.asarray(values)[:, None])


@given(values=arrays(np.float32, (20, 3), elements=st.floats(-100, 100, width=32)))
def test_scalars_come_back_whatever_their_spread(values: np.ndarray) -> None:
    codec = ScalarCodec.fit(values)
    np.testing.assert_allclose(codec.decode(codec.encode(values)), values, atol=1e-2, rtol=1e-4)


@given(
    values=arrays(np.float32, st.integers(1, 60), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
)
def test_all_but_the_farthest_values_have_small_codes(values: np.ndarray) -> None:
    """But for one in a thousand, and at least one, at each end."""
    codec = one(values)
    assert np.isfinite([*codec.center, *codec.scale]).all() and min(codec.scale) > 0
    codes = np.sort(codec.encode(values.astype(np.float64)[:, None])[:, 0])
    assert np.abs(codes[1:-1]).max(initial=0) <= FARTHEST + 1.01
    back = codec.decode(codec.encode(values[:, None]))[:, 0]
    np.testing.assert_allclose(back, values, rtol=1e-4, atol=1e-5 * max(1e-6, float(np.abs(values).max(initial=0))))


@given(st.integers(0, 1000), st.sampled_from(["normal", "uniform", "laplace"]), st.floats(1e-3, 1e6))
def test_a_column_that_moves_is_scaled_by_its_quantiles(seed: int, kind: str, width: float) -> None:
    values = width * getattr(np.random.default_rng(seed), kind)(size=800)
    low, high = np.quantile(values, [0.01, 0.99])
    codec = one(values)
    assert codec.scale[0] == pytest.approx((high - low) / 2) and codec.center[0] == pytest.approx((low + high) / 2)


def test_quantiles_ignore_an_outlier() -> None:
    values = np.linspace(-1, 1, 1000)
    values[0] = 1e6
    assert one(values).scale[0] == pytest.approx(0.98, abs=0.01)


def test_what_is_not_finite_does_not_count() -> None:
    values = np.linspace(-1, 1, 1000)
    values[::100] = np.nan
    assert one(values).scale[0] == pytest.approx(0.98, abs=0.01)


def test_a_still_column_with_one_movement_is_scaled_by_the_movement() -> None:
    values = 1e-5 * RNG.standard_normal(600)
    values[[10, 210, 410]] = 0.8
    codec = one(values)
    assert codec.scale[0] == pytest.approx(0.8 / FARTHEST, rel=0.01)
    assert codec.encode(np.array([[0.8]])) == pytest.approx(FARTHEST, rel=0.01)


@pytest.mark.parametrize("share", [0.0005, 0.005, 0.02, 0.5])
def test_a_gripper_is_told_apart_however_rarely_it_opens(share: float) -> None:
    values = (np.arange(10_000) < share * 10_000).astype(np.float32)
    codes = one(values).encode(np.array([[0.0], [1.0]]))[:, 0]
    assert 1 <= codes[1] - codes[0] <= 2 and np.abs(codes).max() <= 2


def test_a_constant_column_is_shifted_to_zero() -> None:
    codec = one(np.full(50, 7.0))
    assert codec == ScalarCodec([7.0], [1.0])
    assert one(7 + 1e-8 * RNG.standard_normal(50)).scale == [1.0]


def test_large_numbers_with_an_offset_are_bounded() -> None:
    codec = one(1.7e9 + np.arange(500) / 30)  # seconds since 1970
    assert codec.encode(np.array([[1.7e9], [1.7e9 + 499 / 30]]))[:, 0] == pytest.approx([-1.02, 1.02], abs=0.01)


def test_the_first_dataset_fits_and_all_say_how_far_a_column_moves() -> None:
    moving, still = RNG.uniform(-1, 1, (500, 1)), 1e-5 * RNG.standard_normal((500, 1))
    fit = ScalarCodec.between([Spread.of(moving), Spread.of(5 * moving)])
    assert fit.scale == ScalarCodec.fit(moving).scale  # as alone
    both = ScalarCodec.between([Spread.of(still), Spread.of(moving)])
    assert np.abs(both.encode(moving)).max() <= FARTHEST + 0.5
    other = np.concatenate([np.full((500, 1), np.nan), moving], 1)  # a number that the first robot has not
    assert ScalarCodec.between([Spread.of(other), Spread.of(np.hstack([moving, still]))]).scale[0] == fit.scale[0]
    assert ScalarCodec.between([Spread.of(np.empty((0, 2)))]) == ScalarCodec([0.0, 0.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.full(100, 0.3), "never moves from 0.3"),
        (np.r_[np.zeros(995), 0.8 * np.ones(5)], "reaches from 0 to 0.8"),
        (np.r_[np.linspace(-1, 1, 999), 1e6], "reaches from -1 to 1e\\+06"),
        (1.7e9 + np.arange(100.0), "float32 cannot tell"),
        (np.linspace(-1, 1, 100), "^$"),
    ],
)
def test_what_is_said_of_a_column(values: np.ndarray, says: str) -> None:
    q01, q99 = np.quantile(values, [0.01, 0.99])
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(scale_remark(values.min(), q01, q99, values.max()))
