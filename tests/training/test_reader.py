"""The scene reader is trained alone: it must learn where things are, and a killed training must not differ."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from presage.networks.world_model import WorldModel
from presage.training.data import Rows, make_batch
from presage.training.reader import ReaderTraining, Trained, reader_loss, train_reader
from tests.tiny import tiny_model
from tests.training.resuming import assert_resumes
from tests.training.test_dreams import small_rows

CONFIG = ReaderTraining(steps=80, batch=32, save_every=20)


def pointing_rows(model: WorldModel, count: int = 200) -> Rows:
    """Rows whose chunk is written in one number of one camera's latents."""
    rows = small_rows(model, [10] * (count // 10))
    rows.value = np.zeros(count, np.float32)
    rows.action[:] = np.clip(rows.latents[:, 1, 2, 3].astype(np.float32), -1, 1)[:, None]
    return rows


def trained(out: Path, config: ReaderTraining = CONFIG) -> WorldModel:
    torch.set_num_threads(1)
    model = tiny_model()
    train_reader(model, [(pointing_rows(model), 1.0)], config, out, {})
    return model


def test_what_a_frame_shows_in_one_place_can_be_read_from_the_token(tmp_path: Path) -> None:
    model = trained(tmp_path)
    rows = pointing_rows(model)
    frames = {
        "video.front": torch.from_numpy(rows.latents[:, 0]).float()[:, None],
        "video.top": torch.from_numpy(rows.latents[:, 1]).float()[:, None],
        "state": torch.from_numpy(rows.state)[:, None, None],
    }
    text = torch.from_numpy(rows.text[rows.instruction])
    with torch.no_grad():
        scene = next(s.derive(frames) for s in model.streams if s.derive is not None)
        token = model.network.inputs["scene"](scene, text)[:, 0, 0].numpy()
    wanted = rows.action[:, 0]
    fit, *_ = np.linalg.lstsq(np.c_[token, np.ones(len(token))], wanted, rcond=None)
    assert np.corrcoef(np.c_[token, np.ones(len(token))] @ fit, wanted)[0, 1] > 0.9


def test_killed_between_two_saves_and_repeated_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_resumes(lambda out: trained(out).network.inputs["scene"].state_dict(), tmp_path, monkeypatch)


def test_a_model_without_a_reader_is_left_alone(tmp_path: Path) -> None:
    model = tiny_model()
    model.streams = [s for s in model.streams if s.derive is None]
    train_reader(model, [], replace(CONFIG, steps=1), tmp_path / "none", {})
    assert not (tmp_path / "none").exists()


def test_chunks_of_experts_alone_are_imitated_and_values_are_read_where_they_are_known() -> None:
    model = tiny_model()
    trained = Trained(model.network.inputs["scene"], model.config.width)
    batch = make_batch(pointing_rows(model, 20), model, np.arange(8)[:, None], np.ones((8, 1), bool))

    def loss(quality: float | None, action: float = 0.0, value: float = 0.0, known: bool = True) -> float:
        told = None if quality is None else torch.full((8, 1), quality)
        values = {**batch.values, "action": batch.values["action"] + action, "value": batch.values["value"] + value}
        present = {**batch.present, "value": torch.full((8, 1), known)}
        changed = replace(batch, values=values, quality=told, present=present)
        return reader_loss(model, trained, changed, 0.1, torch.Generator().manual_seed(0)).item()

    assert loss(0.0, action=5.0) == loss(0.0)  # what was no expert's, or failed
    for worth_it in (1.0, 0.5, float("nan"), None):
        assert loss(worth_it, action=5.0) > loss(worth_it) + 1
    assert loss(1.0, value=5.0) > loss(1.0) + 1 and loss(1.0, value=5.0, known=False) == loss(1.0, known=False)
