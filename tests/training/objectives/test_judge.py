"""A judge learns from outcomes what a picture of success looks like, and says nothing where it was taught nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from presage.errors import UserError
from presage.networks.composed import Composed
from presage.systems.reference import reference
from presage.systems.system import DEBUG
from presage.timeline.session import Session
from presage.training.loop import Optimiser
from presage.training.objectives.judge import JudgeSuccess, told
from presage.training.recorded import Recorded, shape_of
from presage.training.stage import Stage, train_stages
from tests.recorded import batch_of, moving_square

RECORDED = moving_square(12)


def model() -> Composed:
    torch.manual_seed(0)
    shape = shape_of(RECORDED)
    return reference(shape, DEBUG).build(shape)


def said(judged: Composed, recorded: Recorded, words: str = "move") -> np.ndarray:
    """What the judge says of every row."""
    session = Session(judged, [words] * len(recorded.action))
    block = session.observe({"image.front": recorded.frames["image.front"], "state": recorded.state})
    return judged.value(block, session.condition).numpy()


def test_it_learns_where_success_is_and_generalises(tmp_path: Path) -> None:
    optimiser = Optimiser(steps=80, batch=32, warmup=5, lr=3e-3, ema=0.9)
    stage = Stage("judge", JudgeSuccess(), ("parts.judge",), window=1, raw=True, optimiser=optimiser)
    judged = train_stages(model(), [stage], {"labelled": RECORDED}, tmp_path, {}, quiet=True)
    unseen = moving_square(6, seed=5)
    far = np.abs(unseen.state[:, 0] - 6) > 2
    right = (said(judged, unseen) > 0.5) == (unseen.state[:, 0] > 6)
    assert right[far].mean() > 0.9


def test_other_outcomes_are_another_training(tmp_path: Path) -> None:
    optimiser = Optimiser(steps=1, batch=4, warmup=1)
    stage = Stage("judge", JudgeSuccess(), ("parts.judge",), window=1, raw=True, outcomes=True, optimiser=optimiser)
    for _ in range(2):
        train_stages(model(), [stage], {"labelled": RECORDED}, tmp_path, {}, quiet=True)
    corrected = replace(RECORDED, to_success=np.full(len(RECORDED.action), np.inf))
    with pytest.raises(UserError, match="outcomes"):
        train_stages(model(), [stage], {"labelled": corrected}, tmp_path, {}, quiet=True)


def test_what_is_unknown_is_not_taught() -> None:
    judged, rows = model(), np.array([[0], [1], [2]])
    drawn = np.zeros(3, int), rows, np.zeros((3, 1), bool)
    known = replace(RECORDED, to_success=np.r_[0.0, np.nan, np.inf, RECORDED.left[3:]])
    generator = torch.Generator().manual_seed(0)
    term = JudgeSuccess()(judged, batch_of(judged, [known], drawn, pictures=True), generator)["judge"]
    assert term.weight[:, 0].tolist() == [1, 0, 1]
    with pytest.raises(UserError, match="no judge of success"):
        said(model(), RECORDED)


def test_play_is_told_what_others_of_its_task_were() -> None:
    text = np.stack([np.zeros(256, np.float32), *RECORDED.text, *RECORDED.text + 1])
    number = np.repeat([0, 1, 2] * 4, 8)
    played = replace(RECORDED, text=text, instruction=number, task=["move", "move", "other"] * 4)
    made = told("labelled")(model(), {"labelled": played})
    np.testing.assert_array_equal(made.instruction, np.repeat([1, 1, 2] * 4, 8))
