"""What was seen last as the base prediction of what is seen next."""

import torch

from presage.networks.unchanged import Unchanged
from presage.timeline.backbone import Condition, Window


def test_what_is_asked_for_stays_as_it_was_and_what_is_given_is_left_alone() -> None:
    newest = {"done": torch.ones(1, 1, 1, 2), "seen": torch.full((1, 1, 3, 2), 5.0), "felt": torch.zeros(1, 1, 1, 1)}
    levels = {"done": torch.zeros(1, 1), "seen": torch.ones(1, 1), "felt": torch.zeros(1, 1)}
    question = Window({}, levels, torch.tensor([[3]]))
    base = Unchanged(("seen", "felt"))
    said = base(newest, None, question, Condition(torch.zeros(1, 4)))
    assert set(said) == {"seen"} and torch.equal(said["seen"], newest["seen"])
    assert base(newest, None, Window({}, {"done": torch.ones(1, 1)}, question.steps), Condition(torch.zeros(1))) == {}
    assert base.remember(newest, {}, None) is None and base.complete(newest, None, {"done": newest["done"]}).keys() == {
        "done"
    }
