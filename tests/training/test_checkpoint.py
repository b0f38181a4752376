"""Checkpoints load to the same predictions, and damaged ones say what is wrong in one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from presage.errors import UserError
from presage.networks.base import value_of
from presage.networks.world_model import WorldModel
from presage.timeline.session import Session
from presage.training.checkpoint import PARTS, WEIGHTS, load_model, read_weights, save_model, write_weights
from tests.tiny import tiny_model, tiny_observation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(tiny_model(), tmp_path / "model", "# card")


def test_a_loaded_model_predicts_the_same(folder: Path) -> None:
    def value(model: WorldModel) -> torch.Tensor:
        session = Session(model, ["open the drawer"])
        session.observe(tiny_observation(1))
        return value_of(session)

    torch.testing.assert_close(value(load_model(folder)), value(tiny_model()), atol=0.02, rtol=0)
    again = save_model(load_model(folder), folder.parent / "again", "# card")
    torch.testing.assert_close(value(load_model(again)), value(load_model(folder)), atol=0, rtol=0)


def test_a_checkpoint_is_four_files_and_replaced_whole(folder: Path) -> None:
    save_model(tiny_model(seed=1), folder, "# new card")
    assert sorted(p.name for p in folder.iterdir()) == [
        "card.md",
        "config.json",
        "model.safetensors",
        "renderer.safetensors",
    ]
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_a_critic_comes_back(folder: Path) -> None:
    model = tiny_model()
    model.add_critic(8)
    save_model(model, folder, "# card")
    again = load_model(folder)
    assert (folder / "critic.safetensors").exists() and again.critic is not None and again.config == model.config


@pytest.mark.parametrize("name", [WEIGHTS, *[f"{part}.safetensors" for part in PARTS]])
def test_truncated_weights(folder: Path, name: str) -> None:
    model = tiny_model()
    model.add_critic(8)
    save_model(model, folder, "# card")
    weights = folder / name
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"{name} is truncated or damaged"):
        load_model(folder)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no config.json"):
        load_model(tmp_path)


def test_another_format(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(UserError, match="format is 99"):
        load_model(folder)


def test_weights_of_another_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model"]["layers"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="does not fit its config.json"):
        load_model(folder)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path) -> None:
    write = f"""
import resource, torch
from pathlib import Path
from presage.errors import UserError
from presage.training.checkpoint import write_weights
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_weights({{"x": torch.zeros(10_000)}}, Path({str(tmp_path / "x.safetensors")!r}))
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", write], capture_output=True, text=True, check=True)
    assert "free space" in done.stdout and list(tmp_path.iterdir()) == []


def test_a_checkpoint_in_earlier_words(folder: Path) -> None:
    """A field, a part and a stream were called otherwise once."""
    model = tiny_model()
    save_model(model, folder, "# card")
    now, then = (folder / name for name in ("config.json", WEIGHTS))
    now.write_text(
        now.read_text().replace("value_discount", "progress_discount").replace("state_dynamics", "kinematics")
    )
    earlier = {
        re.sub(r"\.value(?=\.|$)", ".progress", name).replace("state_dynamics.", "kinematics."): x
        for name, x in read_weights(then).items()
    }
    assert {"network.positions.progress", "network.outputs.progress.bias"} < set(earlier)
    write_weights(earlier, then)
    again = load_model(folder)
    assert again.config == model.config
    assert all(torch.equal(x.bfloat16(), again.state_dict()[name].bfloat16()) for name, x in model.state_dict().items())
