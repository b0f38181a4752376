"""1XWM's debug twin: it imagines what actions lead to, a head reads how that ends, and agreement tells of picks."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.recorded import moving_square

from presage.systems.lab import alignment, trials
from presage.systems.lab.rolled import rolled
from presage.systems.lab.trials import dreamed
from presage.systems.onex_evaluation import check, onex_evaluation
from presage.systems.system import DEBUG
from presage.training.recorded import shape_of
from presage.training.stage import train_stages

RECORDED = moving_square(episodes=8)


def test_a_debug_twin_trains_and_says_how_a_dream_ends(tmp_path: Path) -> None:
    torch.manual_seed(0)
    system = onex_evaluation(shape_of(RECORDED), DEBUG)
    assert [s.name for s in system.stages] == ["codec", "one step", "rollout", "adapt", "judge"]
    data = {"labelled": RECORDED, "noise": moving_square(seed=1)}
    model = train_stages(system.build(shape_of(RECORDED)), system.stages, data, tmp_path, {}, quiet=True)
    torch.nn.init.normal_(model.parts["judge"].get_submodule("read.2").weight)
    said = dreamed(model, RECORDED)
    assert said.shape == (8,) and ((said > 0) & (said < 1)).all()
    np.testing.assert_array_equal(said, dreamed(model, RECORDED))


def test_the_check_runs_on_debug_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "ROWS", 2)
    for module in (alignment, trials):
        monkeypatch.setattr(module, "rolled", partial(rolled, max_steps=3))
    result = check((), (0,), True, tmp_path)
    assert [arm.name for arm in result.arms][:2] == ["P = 800", "P = 0"] and len(result.arms) == 7
    assert result.verdict is not None and alignment.BACK in {line.name for line in result.verdict.sanity}
    assert sorted(path.name for path in (tmp_path / "training").iterdir()) == [
        "P_=_0", "P_=_200", "P_=_800", "P_=_800,_none_of_the_task"
    ]  # fmt: skip
