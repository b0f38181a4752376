"""Batches, and the terms that an objective makes of them."""

from dataclasses import fields, replace

import pytest
import torch

from presage.timeline.corruption import Flow
from presage.timeline.streams import Stream
from presage.training.batch import Batch, Later, Term, cat_batches, per_step, weighted, weights_at

DONE, SEEN = Stream("done", 1, 3, acts=True), Stream("seen", 2, 4)


def batch(rows: int, seed: int = 0) -> Batch:
    """Everything that a batch can hold."""
    generator = torch.Generator().manual_seed(seed)
    values = {s.name: torch.randn(rows, 2, s.tokens, s.dim, generator=generator) for s in (DONE, SEEN)}
    exists = torch.tensor([[True, False]]).expand(rows, -1)
    return Batch(
        values,
        torch.randn(rows, 5, generator=generator),
        exists,
        {"done": torch.zeros(rows, 2, dtype=torch.bool)},
        torch.rand(rows, 2, generator=generator),
        {"seen": values["seen"] + 1},
        ~exists,
        {"done": torch.ones(rows, 1, 1, 3, dtype=torch.bool)},
        {"seen": torch.rand(rows, 2, 2, 4, generator=generator)},
        torch.rand(rows, 2, generator=generator),
        {"image.eye": torch.zeros(rows, 2, 4, 4, 3, dtype=torch.uint8)},
    )


def test_a_stream_is_there_where_it_was_recorded_and_else_where_the_row_is() -> None:
    assert batch(1).there(DONE).tolist() == [[False, False]] and batch(1).there(SEEN).tolist() == [[True, False]]


def test_batches_in_a_row_keep_every_field() -> None:
    one, other = batch(1), batch(2, seed=1)
    both = cat_batches([one, other])
    for f in fields(Batch):
        a, b, found = (getattr(x, f.name) for x in (one, other, both))
        for key in a if isinstance(a, dict) else [None]:
            left, right, whole = (x if key is None else x[key] for x in (a, b, found))
            assert torch.equal(whole, torch.cat([left, right])), f.name
    assert cat_batches([replace(one, quality=None)] * 2).quality is None


def test_a_batch_moves_as_a_whole() -> None:
    moved = batch(1).to(torch.device("meta"))
    tensors = [getattr(moved, f.name) for f in fields(Batch)]
    flat = [x for value in tensors for x in (value.values() if isinstance(value, dict) else [value])]
    assert len(flat) == 12 and all(x.device.type == "meta" for x in flat)


def test_a_term_is_the_mean_where_it_counts() -> None:
    error = torch.tensor([[1.0, 2.0], [3.0, 400.0]])
    assert Term(error, torch.tensor([[1.0, 1.0], [1.0, 0.0]])).mean == 2
    assert Term(error, torch.zeros(2, 2)).mean == 0


def test_terms_of_one_pattern_are_averaged_and_the_first_pattern_that_matches_weighs() -> None:
    terms = {name: Term(torch.full((1, 1), value), torch.ones(1, 1)) for name, value in TERMS.items()}
    assert weighted(terms, {"eye.*": 10.0, "arm": 2.0, "*": 1.0}).item() == 10 * 2 + 2 * 5 + 7
    assert weighted({"arm": terms["arm"]}, {"eye.*": 10.0, "arm": 2.0}).item() == 2 * 5


TERMS = {"eye.left": 1.0, "eye.right": 3.0, "arm": 5.0, "sum": 7.0}


def test_a_term_without_a_weight_is_no_oversight() -> None:
    with pytest.raises(ValueError, match=r"no weight for sum: weights are for eye\.\*, arm"):
        weighted({"sum": Term(torch.ones(1, 1), torch.ones(1, 1))}, {"eye.*": 1.0, "arm": 1.0})


def test_a_weight_may_begin_later() -> None:
    weights = {"done": Later(2.0, step=10), "*": 1.0}
    assert weights_at(weights, 9) == {"done": 0.0, "*": 1.0}
    assert weights_at(weights, 10) == {"done": 2.0, "*": 1.0}


def test_numbers_that_a_robot_has_not_cost_nothing_whatever_their_value() -> None:
    has = torch.arange(16) < 10
    predicted, target = torch.randn(2, 3, 4, 1, 16)
    level = torch.ones(3, 4)

    def error(target: torch.Tensor) -> torch.Tensor:
        return Flow(beta=0.1).error(predicted, target, target, target, level)

    masked = per_step(error(target), has.expand(3, 1, 1, -1))
    torch.testing.assert_close(masked, per_step(error(torch.where(has, target, 7.0)), has.expand(3, 1, 1, -1)))
    torch.testing.assert_close(masked, per_step(error(target)[..., :10], None))
    none = torch.zeros(3, 1, 1, 16, dtype=torch.bool)
    assert not per_step(error(target), none).any()  # a robot without any of them


def test_an_emphasised_error_is_a_weighted_mean() -> None:
    error, emphasis = (torch.tensor(x).view(1, 1, 1, 2) for x in ([1.0, 3.0], [3.0, 1.0]))
    assert per_step(error, None, emphasis).item() == pytest.approx(1.5)
