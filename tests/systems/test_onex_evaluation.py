"""1XWM's debug twin: it imagines what actions lead to, a head reads how that ends, and agreement tells of picks."""

from pathlib import Path

import numpy as np
import torch
from tests.recorded import moving_square

from presage.systems.lab.trials import dreamed
from presage.systems.onex_evaluation import onex_evaluation
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
