"""Arms of a check: what they took, and that a result is never taken for that of another arm."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.recorded import moving_square

from presage.errors import UserError
from presage.networks.composed import Composed
from presage.systems.lab.arms import Judge, run_arm, seconds_of
from presage.systems.lab.check import Arm
from presage.systems.lab.starts import Start
from presage.systems.system import DEBUG, System
from presage.systems.uwm import FEW, uwm
from presage.training.recorded import Recorded, shape_of

DATA = moving_square()
SHAPE = shape_of(DATA)
STARTS = [Start("move", seed, far=False) for seed in range(3)]


def succeeding(share: float) -> Judge:
    def judge(model: Composed, seed: int) -> list[float]:
        return [share, seed, 1.0]

    return judge


def arm(
    out: Path,
    system: System | None = None,
    data: Recorded = DATA,
    starts: list[Start] = STARTS,
    share: float = 0.5,
    figure: float = 0.1,
) -> Arm:
    of = system or uwm(SHAPE, DEBUG, FEW)
    judge, figures = succeeding(share), lambda model: {"e": figure}
    return run_arm("few", of, SHAPE, {"labelled": data}, (0, 1), judge, out, starts, figures)


def test_seconds_of_a_stage_are_those_at_its_last_step(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 20, "seconds": 3.5}\n{"step": 40, "seconds": 7.0}\n')
    assert seconds_of(tmp_path) == 7.0


def test_what_is_done_is_not_done_again_and_never_stands_for_another_arm(tmp_path: Path) -> None:
    first = arm(tmp_path)
    assert first.outcomes == ((0.5, 0, 1.0), (0.5, 1, 1.0)) and first.figures == {"e": 0.1} and first.rows == 48
    assert arm(tmp_path) == first
    joint = uwm(SHAPE, DEBUG, FEW).stages[1]
    longer = uwm(SHAPE, DEBUG, FEW).with_stage("joint", optimiser=replace(joint.optimiser, steps=9))
    for changed, words in (
        (lambda: arm(tmp_path, share=1.0), "judge"),
        (lambda: arm(tmp_path, figure=0.2), "figures"),
        (lambda: arm(tmp_path, starts=STARTS[::-1]), "starts"),
        (lambda: arm(tmp_path, system=longer), "system"),
        (lambda: arm(tmp_path, data=moving_square(seed=1)), "data"),
    ):
        with pytest.raises(UserError, match=f"was made with other {words}: give the check another --out"):
            changed()
