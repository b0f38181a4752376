"""Noise follows its row: the same whatever is beside it, and never the same twice."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from presage.timeline.noise import Streams, children, draw, streams

CPU = torch.device("cpu")


def drawn(rows: Streams) -> torch.Tensor:
    return draw(rows, (8,), CPU)


def distinct(*noises: torch.Tensor) -> bool:
    rows = torch.cat(noises)
    return len(rows.unique(dim=0)) == len(rows)


@given(seeds=st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_a_row_of_many_seeds_draws_what_it_would_draw_alone(seeds: list[int]) -> None:
    alone = [drawn(streams(seed, 1)) for seed in seeds]
    assert torch.equal(drawn(streams(seeds, len(seeds))), torch.cat(alone))


@given(seed=st.integers(0, 2**40), rows=st.integers(1, 6))
def test_rows_and_seeds_that_follow_each_other_share_nothing(seed: int, rows: int) -> None:
    assert distinct(*(drawn(streams(seed + i, rows)) for i in range(3)))
    assert torch.equal(drawn(streams(seed, rows)), drawn(streams(seed, rows + 2))[:rows])


@given(seed=st.integers(0, 100), n=st.integers(1, 3))
def test_children_differ_from_their_parents_their_sisters_and_their_own_children(seed: int, n: int) -> None:
    def family() -> torch.Tensor:
        parents = streams(seed, 2)
        first, second = children(parents, n), children(parents, n)
        said, other = children(parents, n, seed=0), children(parents, n, seed=1)
        return torch.cat([drawn(g) for g in (parents, first, second, children(first, n), said, other)])

    assert distinct(family())
    assert torch.equal(family(), family())


def test_children_of_a_seed_are_the_same_each_time_whatever_was_drawn_before() -> None:
    parents = streams(0, 2)
    before = drawn(children(parents, 3, seed=5))
    drawn(parents), children(parents, 1)
    assert torch.equal(drawn(children(parents, 3, seed=5)), before)


def test_noise_is_standard_normal() -> None:
    noise = draw(streams(0, 3), (200, 20), CPU).numpy()
    assert noise.shape == (3, 200, 20) and noise.dtype == np.float32
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 1], atol=0.03)


def test_there_is_one_seed_a_row() -> None:
    with pytest.raises(ValueError, match="2 seeds for 3 rows"):
        streams([0, 1], 3)
