"""A low-rank change starts as none, and only it is trained."""

import torch
from torch import nn

from presage.networks.lora import adapt


def test_nothing_changes_before_the_first_step_and_only_the_change_is_trained() -> None:
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    x = torch.randn(5, 4)
    before = module(x)
    adapt(module, ["2"], rank=2)
    torch.testing.assert_close(module(x), before, atol=0, rtol=0)
    assert {n for n, p in module.named_parameters() if p.requires_grad} == {"2.down", "2.up"}
    module(x).sum().backward()
    with torch.no_grad():
        module.get_parameter("2.up").sub_(module.get_parameter("2.up").grad)
    assert not torch.allclose(module(x), before)
