"""One code for CPU and card."""

import copy

import pytest
import torch

from presage.device import EAGER_VARIABLE, quicken, sent
from presage.systems.reference import reference
from presage.systems.system import DEBUG
from presage.training.recorded import shape_of
from tests.recorded import moving_square


def blocks(network: torch.nn.Module) -> torch.nn.Module:
    """A block of the network's way down."""
    return network.get_submodule("down.0.0")


def test_compiled_blocks_compute_the_same_under_the_same_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(EAGER_VARIABLE, raising=False)
    shape = shape_of(moving_square(1))
    network = reference(shape, DEBUG).build(shape).network
    plain = copy.deepcopy(network)
    quicken(network, backend="eager")
    assert list(network.state_dict()) == list(plain.state_dict())
    image, told = torch.randn(2, DEBUG.channels, 8, 8), torch.randn(2, 4 * DEBUG.channels)
    torch.testing.assert_close(blocks(network)(image, told), blocks(plain)(image, told))
    assert blocks(network)._compiled_call_impl is not None and blocks(plain)._compiled_call_impl is None
    assert blocks(copy.deepcopy(network))._compiled_call_impl is None  # a control that is made of it is plain again


def test_nothing_is_compiled_where_somebody_wants_it_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EAGER_VARIABLE, "1")
    shape = shape_of(moving_square(1))
    network = reference(shape, DEBUG).build(shape).network
    quicken(network)
    assert blocks(network)._compiled_call_impl is None


def test_what_is_sent_to_a_cpu_is_not_copied() -> None:
    x = torch.arange(3)
    assert sent(x, torch.device("cpu")) is x
