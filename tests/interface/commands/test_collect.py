"""`presage collect`: what it notes of a call."""

from unittest.mock import Mock

import torch
from tests.tiny import tiny_model

from presage.interface.cli import main
from presage.training.checkpoint import save_model


def test_episodes_of_another_planner_are_not_gone_on_with(tmp_path, monkeypatch, capfd):
    asked = ["collect", "--out", str(tmp_path / "data"), "--tasks", "reach-v3", "--episodes", "1", "--workers", "1"]
    asked += ["--planner", str(tmp_path / "model"), "--size", "32"]
    model = tiny_model()
    save_model(model, tmp_path / "model", "")
    with monkeypatch.context() as patched:
        patched.setattr("presage.worlds.collect.write_dataset", Mock(side_effect=KeyboardInterrupt))
        assert main(asked) == 130
    with torch.no_grad():
        next(model.network.parameters()).add_(1)
    (tmp_path / "model").rename(tmp_path / "first")
    save_model(model, tmp_path / "model", "")
    assert main(asked) == 2
    assert "data.partial: was begun with planner" in capfd.readouterr().err
