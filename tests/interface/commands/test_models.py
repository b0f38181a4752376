"""`presage models` says what can be loaded and what is here; `presage train --backbone` adapts it."""

import json
from pathlib import Path

import pytest
from tests.interface.test_cli import dataset, refused

from presage.interface.cli import main
from presage.networks.wan_model import WanWorldModel
from presage.training.checkpoint import load_model


def test_models_lists_shapes_and_what_is_here(
    wan_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "backbones").mkdir()
    (tmp_path / "backbones" / "wan2.1-t2v-14b").symlink_to(wan_folder)
    assert main(["models", "--json", "models.json"]) == 0
    models = json.loads(Path("models.json").read_text())["figures"]
    small, large, image = (models[f"wan2.1-{n}"] for n in ("t2v-1.3b", "t2v-14b", "i2v-14b-480p"))
    assert small["parameters"]["transformer"] == 1_418_996_800
    assert 14.2e9 < large["parameters"]["transformer"] < 14.4e9 < 16e9 < image["parameters"]["transformer"] < 17e9
    assert 5.6e9 < small["parameters"]["text_encoder"] < 5.7e9 and 126e6 < small["parameters"]["vae"] < 128e6
    assert small["here"] is None and large["here"] == "backbones/wan2.1-t2v-14b"
    said = capsys.readouterr().out
    assert all(name in said for name in ("reference", "mt10", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "Apache-2.0"))


def test_a_backbone_is_adapted_to_a_dataset(wan_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset(tmp_path / "data")
    command = f"train --data data --out run --recipe backbone --backbone {wan_folder} --lora 2 --size 32"
    assert main([*command.split(), "--steps", "2", "--part-steps", "20"]) == 0
    model = load_model(tmp_path / "run" / "model")
    assert isinstance(model, WanWorldModel) and model.config.lora == 2
    assert "Recipe `backbone`" in (tmp_path / "run" / "model" / "card.md").read_text()


def test_what_is_no_backbone_is_refused_before_the_work(wan_folder: Path, tmp_path: Path, capfd) -> None:
    run = ("train", "--data", dataset(tmp_path / "data"), "--out", tmp_path / "run", "--recipe", "backbone")
    assert "no Wan 2.1" in refused(capfd, *run, "--backbone", tmp_path)
    assert "multiple of 16" in refused(capfd, *run, "--backbone", wan_folder, "--size", 40)
    assert not (tmp_path / "run" / "model").exists()
