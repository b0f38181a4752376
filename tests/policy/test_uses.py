"""A model acts by a name that all share only if it imagines actions."""

from importlib import import_module

import pytest
from tests.recorded import moving_square

from presage.errors import UserError
from presage.policy import USES, make_policy
from presage.systems.system import DEBUG
from presage.training.recorded import shape_of


@pytest.mark.parametrize("name", ["vpp", "gr1", "mimic_video", "onex_evaluation"])
def test_a_model_that_imagines_no_actions_says_so(name: str) -> None:
    shape = shape_of(moving_square(1))
    system = getattr(import_module(f"presage.systems.{name}"), name)(shape, DEBUG)
    model = system.build(shape)
    model.uses = system.uses
    for use in USES:
        with pytest.raises(UserError, match=f"no use '{use}': this model imagines no actions"):
            make_policy(use, model)
    assert all(make_policy(use, model) for use in system.uses)
