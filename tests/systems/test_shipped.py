"""Which checkpoint commands take."""

import pytest

from presage.systems.checkpoint import load_for
from presage.systems.shipped import PARTS, PUSHT, SHIPPED, default_checkpoint
from presage.worlds import MT10


def test_commands_take_the_checkpoint_of_their_tasks() -> None:
    assert default_checkpoint() == SHIPPED
    assert default_checkpoint(tasks=MT10) == SHIPPED
    assert default_checkpoint(tasks=["pusht"]) == PUSHT
    assert default_checkpoint(tasks=["pusht", *MT10]) == SHIPPED, "which says that pusht is another robot's"
    assert default_checkpoint(parts=True) == PARTS


@pytest.mark.parametrize("tasks", [list(MT10), ["pusht"]])
def test_it_opens_for_them(tasks: list[str]) -> None:
    model = load_for(tasks, default_checkpoint(tasks=tasks))
    assert set(model.uses) == {"joint", "closed_loop", "open_loop", "no_imagination"}
