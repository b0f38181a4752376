"""A published backbone is fine-tuned, written and resumed like presage's own network."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from presage.benchmarks.training import random_rows
from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.interface.cli import main
from presage.networks.base import step
from presage.networks.wan_model import WanWorldModel
from presage.timeline.session import Session
from presage.training.batch import Batch, weighted
from presage.training.checkpoint import load_model, read_config, read_weights, save_model
from presage.training.data import make_batch
from presage.training.loop import make_optimizer
from presage.training.reference import REFERENCE_WEIGHTS, TrainConfig, reference_objective, train
from tests.episodes.robots import write_robot
from tests.tiny import tiny_chunk, tiny_observation
from tests.tiny_wan import tiny_wan
from tests.training.test_robots import imagine


def batch_of(model: WanWorldModel) -> Batch:
    """A batch of random rows, with instructions as the model embeds them."""
    rows = random_rows(model, 40, 0)
    rows.text = model.embed_text(["open the drawer", "push the puck"]).numpy()
    index = torch.arange(4)[None].numpy() + [[0], [20]]
    return make_batch(rows, model, index, index >= 0)


def loss_of(model: WanWorldModel, batch: Batch) -> torch.Tensor:
    terms = reference_objective()(model, batch, torch.Generator().manual_seed(0))
    return weighted(terms, REFERENCE_WEIGHTS)


def act(model: WanWorldModel) -> torch.Tensor:
    """Tokens that a session computes."""
    session = Session(model, ["open the drawer"])
    session.observe(tiny_observation(1))
    return step(session, tiny_chunk(1)).values["video.front"]


@pytest.mark.parametrize("lora", [4, None])
def test_one_step_lowers_the_loss_on_its_batch(wan_folder: Path, lora: int | None) -> None:
    model = tiny_wan(wan_folder, lora=lora, awake=False)
    batch, optimizer = batch_of(model), make_optimizer(model.network, TrainConfig(lr=1e-3))
    before = loss_of(model, batch)
    before.backward()
    optimizer.step()
    assert loss_of(model, batch) < before


def test_lora_leaves_the_published_weights_alone(wan_folder: Path) -> None:
    model = tiny_wan(wan_folder)
    frozen = {n: p.clone() for n, p in model.network.named_parameters() if not p.requires_grad}
    loss_of(model, batch_of(model)).backward()
    make_optimizer(model.network, TrainConfig(lr=0.1)).step()
    assert frozen and all(torch.equal(p, model.network.get_parameter(n)) for n, p in frozen.items())
    assert all(".down" in n or ".up" in n for n in model.network.trained() if n.startswith("transformer."))


@pytest.mark.parametrize("lora", [4, None])
def test_a_checkpoint_holds_what_was_trained_and_loads_to_the_same(
    wan_folder: Path, tmp_path: Path, lora: int | None
) -> None:
    model = tiny_wan(wan_folder, lora=lora)
    folder = save_model(model, tmp_path / "model", "# card")
    assert sorted(p.name for p in folder.iterdir()) == ["card.md", "config.json", "model.safetensors"]
    assert json.loads((folder / "config.json").read_text())["model"]["backbone"] == str(wan_folder)
    loaded = load_model(folder)
    assert isinstance(loaded, WanWorldModel)
    # LoRA is kept in fp32 and comes back exactly; a whole transformer is rounded to bf16.
    torch.testing.assert_close(act(loaded), act(model), atol=0 if lora else 0.05, rtol=0)
    again = load_model(save_model(loaded, tmp_path / "again", "# card"))
    torch.testing.assert_close(act(again), act(loaded), atol=0, rtol=0)


def test_the_backbone_may_move_into_the_folder_backbones(
    wan_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_model(tiny_wan(wan_folder), tmp_path / "model", "# card")
    config = json.loads((folder / "config.json").read_text())
    config["model"]["backbone"] = "/nowhere/tiny-wan"
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="backbones/tiny-wan"):
        load_model(folder)
    (tmp_path / "backbones").mkdir()
    (tmp_path / "backbones" / "tiny-wan").symlink_to(wan_folder)
    torch.testing.assert_close(act(load_model(folder)), act(tiny_wan(wan_folder)), atol=0, rtol=0)


def test_weights_of_another_rank_are_refused(wan_folder: Path, tmp_path: Path) -> None:
    folder = save_model(tiny_wan(wan_folder), tmp_path / "model", "# card")
    config = json.loads((folder / "config.json").read_text())
    config["model"]["lora"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="does not fit the backbone"):
        load_model(folder)


def test_a_training_goes_on_where_it_was_and_its_state_holds_nothing_frozen(wan_folder: Path, tmp_path: Path) -> None:
    def run(out: str, steps: int) -> dict[str, torch.Tensor]:
        model = tiny_wan(wan_folder, awake=False)
        rows = random_rows(model, 40, 0)
        rows.text = model.embed_text(["open the drawer", "push the puck"]).numpy()
        config = TrainConfig(steps=4, batch=2, warmup=1, cooldown=0.0, save_every=2, log_every=1)
        return train(
            model, [(rows, 1.0)], replace(config, steps=steps), tmp_path / out, {}, quiet=True
        ).network.trained()

    expected = run("whole", 4)
    run("parts", 2)
    resumed = run("parts", 4)
    assert all(torch.equal(expected[n], resumed[n]) for n in expected)
    kept = read_weights(tmp_path / "whole" / "state.safetensors")
    assert {n.removeprefix("model.") for n in kept if n.startswith("model.")} == expected.keys()


@pytest.mark.parametrize("recording", [{"cameras": ("wrist",), "joints": 7}, {"state": False, "action": False}])
def test_any_robot_may_have_the_backbone(wan_folder: Path, tmp_path: Path, recording: dict[str, Any]) -> None:
    data = write_robot(tmp_path / "data", length=21, **recording)
    command = f"train --data {data} --out {tmp_path / 'run'} --recipe backbone --backbone {wan_folder} --size 32"
    options = [] if recording.get("action", True) else ["--action", "none"]
    assert main([*command.split(), *options, "--steps", "2", "--part-steps", "2"]) == 0
    folder = tmp_path / "run" / "model"
    robot, model = Robot.all_from_config(read_config(folder), folder)[0], load_model(folder)
    assert isinstance(model, WanWorldModel) and model.config.cameras == list(robot.cameras)
    assert model.config.fps == pytest.approx(robot.steps_per_second)
    action = imagine(folder)
    assert not robot.action or (action.shape == (robot.chunk, 7) and np.isfinite(action).all())


def test_another_size_or_rank_is_another_training(wan_folder: Path, tmp_path: Path, capsys: Any) -> None:
    data = write_robot(tmp_path / "data", length=21)
    command = f"train --data {data} --out {tmp_path / 'run'} --recipe backbone --backbone {wan_folder}"
    steps = ["--steps", "1", "--part-steps", "1"]
    assert main([*command.split(), "--size", "32", *steps]) == 0
    for options, words in (
        (["--size", "48"], "codec.size 32, now 48"),
        (["--size", "32", "--lora", "8"], "--lora 16, now 8"),
        (["--size", "32", "--lora", "0"], "--lora 16, now null"),
    ):
        assert main([*command.split(), *options, *steps]) == 2
        assert words in capsys.readouterr().err
