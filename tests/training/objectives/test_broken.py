"""Futures of other windows, and nothing else."""

import torch
from torch import Tensor

from presage.networks.composed import Composed
from presage.systems.system import DEBUG
from presage.systems.uwm import uwm
from presage.training.batch import Batch, Terms
from presage.training.objectives.broken import OtherFutures
from presage.training.recorded import shape_of
from tests.recorded import moving_square


def test_what_is_seen_later_is_of_another_window() -> None:
    asked: list[Batch] = []

    def objective(model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        asked.append(batch)
        return {}

    number = torch.arange(4.0)[:, None, None, None].expand(4, 3, 2, 1)  # of the window
    exists = torch.ones(4, 3, dtype=torch.bool)
    exists[2, 2] = False
    batch = Batch({"eye": number, "done": number}, torch.zeros(4, 1), exists)
    shape = shape_of(moving_square(episodes=1))
    OtherFutures(objective, "eye")(uwm(shape, DEBUG).build(shape), batch, torch.Generator())

    def windows(x: Tensor) -> list[list[float]]:
        return x[:, :, 0, 0].tolist()

    (changed,) = asked
    assert windows(changed.values["eye"]) == [[0, 3, 3], [1, 0, 0], [2, 1, 1], [3, 2, 2]]
    assert windows(changed.values["done"]) == windows(batch.values["done"]) == windows(batch.values["eye"])
    assert changed.present["eye"].tolist() == [[True] * 3, [True] * 3, [True] * 3, [True, True, False]]
