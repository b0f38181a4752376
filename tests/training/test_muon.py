"""Hidden matrices are moved by orthogonal steps, all else as by AdamW."""

import pytest
import torch
from torch import nn

from presage.training.loop import Optimiser, make_optimizer
from presage.training.muon import SCALE, Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (8, 72), (40, 8)])
def test_an_orthogonal_matrix_keeps_its_directions_and_forgets_their_sizes(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    sizes = torch.logspace(0, -1.5, len(v))
    out = orthogonal(u * sizes @ v).float()
    found = torch.linalg.svdvals(out)
    assert 0.6 < found.min() and found.max() < 1.3
    assert torch.nn.functional.cosine_similarity(out.flatten(), (u @ v).flatten(), 0) > 0.97


def test_a_step_is_as_large_whatever_the_gradient() -> None:
    sizes = []
    for scale in (1e-4, 1e3):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.zeros(8, 4, 3, 3))
        weight.grad = scale * torch.randn(8, 4, 3, 3)
        Muon([weight], [], lr=0.1, weight_decay=0.0).step()
        sizes.append(float(weight.detach().norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-2)
    assert sizes[0] == pytest.approx(0.1 * SCALE * 36**0.5 * 8**0.5, rel=0.2)  # eight directions of about 1 each


def test_other_weights_are_moved_as_by_adam() -> None:
    mine, theirs = (nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    muon = Muon([], [mine], lr=0.1, weight_decay=0.5)  # which only matrices feel
    adam = torch.optim.AdamW([theirs], lr=0.1, betas=(0.9, 0.99), weight_decay=0.0)
    for i in range(5):
        for p, optimizer in ((mine, muon), (theirs, adam)):
            p.grad = torch.tensor([1.0 + i, -0.1 * i])
            optimizer.step()
    torch.testing.assert_close(mine, theirs)


def test_what_is_orthogonal_is_named_by_pattern_and_no_vector() -> None:
    network = nn.ModuleDict({"first": nn.Linear(2, 3), "hidden": nn.Linear(3, 3)})
    network["frozen"] = nn.Linear(3, 3).requires_grad_(False)
    optimizer = make_optimizer(network, Optimiser(orthogonal=("hidden.*", "frozen.*")))
    hidden, others = (g["params"] for g in optimizer.param_groups)
    assert [id(p) for p in hidden] == [id(network["hidden"].weight)]
    assert {id(p) for p in others} == {
        id(network["first"].weight),
        id(network["first"].bias),
        id(network["hidden"].bias),
    }
