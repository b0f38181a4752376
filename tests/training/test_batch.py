"""Terms and their weights."""

import pytest
import torch

from presage.training.batch import Later, Term, weighted, weights_at


def term(error: float) -> Term:
    return Term(torch.full((2, 3), error), torch.ones(2, 3))


def test_a_weight_may_begin_later() -> None:
    weights = {"what is done": Later(2.0, step=10), "*": 1.0}
    assert weights_at(weights, 9) == {"what is done": 0.0, "*": 1.0}
    assert weights_at(weights, 10) == {"what is done": 2.0, "*": 1.0}


def test_terms_of_one_pattern_are_averaged_and_every_term_needs_a_weight() -> None:
    terms = {"eye.left": term(1.0), "eye.right": term(3.0), "arm": term(5.0)}
    assert weighted(terms, {"eye.*": 10.0, "arm": 1.0}).item() == 25.0
    with pytest.raises(ValueError, match="no weight for arm"):
        weighted(terms, {"eye.*": 1.0})
