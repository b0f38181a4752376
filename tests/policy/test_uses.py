"""A model acts in the ways that it was trained for, and in no other."""

from importlib import import_module

import pytest
from tests.recorded import moving_square
from tests.tiny import tiny_model

from presage.errors import UserError
from presage.networks.composed import Composed
from presage.policy import USES, make_policy, uses_of
from presage.systems.system import DEBUG
from presage.training.recorded import shape_of


def untrained(name: str) -> Composed:
    """The debug twin of a system, as a checkpoint of it opens."""
    shape = shape_of(moving_square(1))
    system = getattr(import_module(f"presage.systems.{name}"), name)(shape, DEBUG)
    model = system.build(shape)
    model.uses = system.uses
    return model


@pytest.mark.parametrize("name", ["gpc", "irasim", "cloning", "uwm", "vpp", "gr1"])
def test_a_system_acts_by_its_own_names_alone(name: str) -> None:
    model = untrained(name)
    assert uses_of(model) == tuple(model.uses)
    assert all(make_policy(use, model) for use in model.uses)
    for use in set(USES) - set(model.uses):
        own = ", ".join(map(repr, model.uses))
        with pytest.raises(UserError, match=f"no use '{use}': this model acts by {own}"):
            make_policy(use, model)


def test_a_world_model_acts_by_the_names_that_all_share() -> None:
    model = tiny_model()
    assert uses_of(model) == USES and all(make_policy(use, model) for use in USES)
    with pytest.raises(UserError, match="no use 'base': this model acts by 'joint'"):
        make_policy("base", model)


@pytest.mark.parametrize("name", ["vjepa2_ac", "onex_evaluation"])
def test_a_model_that_only_foretells_does_not_act(name: str) -> None:
    for use in USES:
        with pytest.raises(UserError, match=f"no use '{use}': this model imagines no actions"):
            make_policy(use, untrained(name))
