"""The critic is trained alone: of several chunks from one state, which has the higher Q."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from presage.networks.world_model import WorldModel
from presage.training.critic import CriticTraining, critic_loss, read_rows, train_critic
from presage.training.data import Counterfactuals, Rows
from tests.tiny import tiny_model
from tests.training.resuming import assert_resumes
from tests.training.test_dreams import small_rows

CONFIG = CriticTraining(steps=300, batch=64, width=64, save_every=100)


def tried_rows(model: WorldModel) -> Rows:
    """From every second row four chunks were tried: the Q of each, its first number and the state's say
    together."""
    rows = small_rows(model, [20] * 20)
    rows.state = np.random.default_rng(1).uniform(-1, 1, rows.state.shape).astype(np.float32)
    action = np.random.default_rng(2).uniform(-1, 1, (400, 4, 16)).astype(np.float32)
    value = (0.5 + 0.3 * action[..., 0] * np.sign(rows.state[:, :1])).astype(np.float32)
    rows.counterfactuals = Counterfactuals(action, value, np.arange(400) % 2 == 0)
    return rows


def trained(out: Path, config: CriticTraining = CONFIG) -> WorldModel:
    torch.set_num_threads(1)
    model = tiny_model()
    train_critic(model, [(tried_rows(model), 1.0), (small_rows(model, [5]), 1.0)], config, out, {})
    return model


def test_it_ranks_chunks_by_what_they_lead_to_from_the_state_that_is_seen(tmp_path: Path) -> None:
    model = trained(tmp_path)
    assert model.critic is not None and model.config.critic == 64
    *read, truth = read_rows(tried_rows(model), model, np.arange(1, 400, 2))  # rows it was not told of
    assert (model.critic(*read).argmax(1) == truth.argmax(1)).float().mean() > 0.7


def test_rows_at_which_nothing_was_tried_teach_nothing(tmp_path: Path) -> None:
    model, other = tiny_model(), tiny_model()
    rows, changed = tried_rows(model), tried_rows(model)
    assert changed.counterfactuals is not None
    changed.counterfactuals.value[1::2] = np.nan
    for each, data, name in ((model, rows, "a"), (other, changed, "b")):
        train_critic(each, [(data, 1.0)], replace(CONFIG, steps=3), tmp_path / name, {})
    assert model.critic is not None and other.critic is not None
    assert all(torch.equal(a, b) for a, b in zip(model.critic.parameters(), other.critic.parameters(), strict=True))


def test_the_loss_asks_for_differences_more_than_for_the_value() -> None:
    truth = torch.tensor([[0.1, 0.2, 0.3]])
    assert critic_loss(truth, truth) == 0
    assert critic_loss(truth + 0.1, truth) < 0.05 * critic_loss(torch.full_like(truth, 0.2), truth)


def test_killed_between_two_saves_and_repeated_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, steps=60, save_every=20)
    assert_resumes(lambda out: trained(out, config).critic.state_dict(), tmp_path, monkeypatch)  # type: ignore[union-attr]


def test_without_counterfactuals_there_is_none(tmp_path: Path) -> None:
    model = tiny_model()
    untried = tried_rows(model)  # what is left of data whose tried rows were not chosen
    assert untried.counterfactuals is not None
    untried.counterfactuals.known[:] = False
    train_critic(model, [(small_rows(model, [5]), 1.0), (untried, 1.0)], CONFIG, tmp_path / "none", {})
    assert model.critic is None and not (tmp_path / "none").exists()
