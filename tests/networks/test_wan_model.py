"""Wan behind the interface of presage's own model: the seven uses, and folders that do not fit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.simulator.fake_world import FakeWorld
from tests.tiny import tiny_chunk, tiny_observation
from tests.tiny_wan import tiny_wan

from presage.codecs.scalars import ScalarCodec
from presage.errors import UserError
from presage.networks.base import step
from presage.networks.random_wan import TINY, write_random_backbone
from presage.networks.wan_model import WanWorldModel, open_wan, wan_config
from presage.networks.world_model import WorldModelConfig
from presage.policy.closed_loop import closed_loop
from presage.policy.grounded import GroundedPolicy
from presage.policy.joint import joint, no_imagination
from presage.policy.open_loop import OpenLoopPolicy
from presage.policy.representation import Head, HeadConfig, random_twin, representation, video_features
from presage.simulator.environment import DreamWorld
from presage.simulator.planning import best_of
from presage.simulator.synthesis import dream, label
from presage.timeline.session import Model, Session
from presage.worlds.rollout import rollout


@pytest.fixture(scope="module")
def model(wan_folder: Path) -> WanWorldModel:
    return tiny_wan(wan_folder)


def test_it_is_what_a_session_needs(model: WanWorldModel) -> None:
    seam: Model = model
    assert [s.name for s in seam.streams] == ["action", "video.front", "video.top", "state", "value"]


@pytest.mark.parametrize("use", ["joint", "no_imagination", "closed_loop", "planning", "representation", "open_loop"])
def test_it_acts_in_every_way(model: WanWorldModel, use: str) -> None:
    head = Head(HeadConfig(model.config.width, 16, tap=1, heads=2)).eval()
    decisions = {
        "joint": joint,
        "no_imagination": no_imagination,
        "closed_loop": closed_loop,
        "planning": best_of(n=3, horizon=2),
        "representation": representation(head),
    }
    policy = OpenLoopPolicy(model, horizon=2) if use == "open_loop" else GroundedPolicy(model, decisions[use])
    policy.reset(["open the drawer", "close the window"])
    for t in range(3):
        chunk = policy.act(tiny_observation(2, seed=t))
        assert chunk.shape == (2, 4, 4) and np.isfinite(chunk).all()


def test_a_policy_is_evaluated_in_its_dream(model: WanWorldModel) -> None:
    world = DreamWorld(model, FakeWorld(2), threshold=2.0)
    results = rollout(GroundedPolicy(model, joint), world, ["a", "b"], [1, 2], max_steps=2, record=True)
    assert [r.steps for r in results] == [2, 2] and results[0].frames["top"].shape == (3, 32, 32, 3)


def test_it_synthesizes_labelled_episodes(model: WanWorldModel) -> None:
    videos = dream(model, tiny_observation(2), ["open the drawer", "push"], threshold=2.0, max_steps=2)
    chunks = label(model, videos)
    assert [c.shape for c in chunks] == [(2, 4, 4)] * 2


def test_futures_fork_and_truth_overwrites(model: WanWorldModel) -> None:
    session = Session(model, ["push"])
    session.observe(tiny_observation(1))
    fork = session.fork(3)
    step(fork, tiny_chunk(3))
    assert fork.step == 1 and session.step == 0
    step(session, tiny_chunk(1))
    real = session.observe(tiny_observation(1, seed=1), tiny_chunk(1))
    assert [b.imagined for b in session.blocks] == [False, False] and real.index == 1


def test_the_control_of_representation_has_other_weights(model: WanWorldModel) -> None:
    twin = random_twin(model, seed=3)
    sessions = [Session(m, ["push"]) for m in (model, twin)]
    for session in sessions:
        session.observe(tiny_observation(1))
    assert not torch.allclose(*(video_features(s, tap=1) for s in sessions))


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "tokenizer"])
def test_a_folder_without_a_part_is_refused(wan_folder: Path, tmp_path: Path, part: str) -> None:
    folder = tmp_path / "backbone"
    shutil.copytree(wan_folder, folder)
    shutil.rmtree(folder / part)
    with pytest.raises(UserError, match=f"has no {part}/"):
        wan_config(folder, WorldModelConfig(), 32, 4)


def test_another_model_is_refused(wan_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backbone"
    shutil.copytree(wan_folder, folder)
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": "CogVideoXTransformer3DModel"}))
    with pytest.raises(UserError, match="describes CogVideoXTransformer3DModel"):
        wan_config(folder, WorldModelConfig(), 32, 4)


def test_truncated_weights_are_refused(wan_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backbone"
    shutil.copytree(wan_folder, folder)
    weights = next((folder / "transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-64])
    with pytest.raises(UserError, match="transformer cannot be loaded"):
        tiny_wan(folder)


def test_a_backbone_of_another_shape_than_the_checkpoint_is_refused(wan_folder: Path, tmp_path: Path) -> None:
    config = wan_config(wan_folder, WorldModelConfig(), 32, 4)
    folder = write_random_backbone(tmp_path / "other", TINY | {"num_layers": 3})
    moved = type(config)(**{**config.__dict__, "backbone": str(folder)})
    with pytest.raises(UserError, match="3 layers"):
        open_wan(moved, ScalarCodec([0.0] * 16, [1.0] * 16), ScalarCodec([0.0] * 4, [1.0] * 4))


@pytest.mark.parametrize(("size", "lora"), [(40, 4), (0, 4), (32, 0)])
def test_sizes_and_ranks_that_do_not_fit_are_refused(wan_folder: Path, size: int, lora: int) -> None:
    with pytest.raises(UserError):
        wan_config(wan_folder, WorldModelConfig(), size, lora)


def test_a_backbone_whose_weights_were_changed_in_place_is_refused(wan_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backbone"
    shutil.copytree(wan_folder, folder)
    config = wan_config(folder, WorldModelConfig(), 32, 4)
    weights = next((folder / "transformer").glob("*.safetensors"))
    save_file({name: -x for name, x in load_file(weights).items()}, weights, {"format": "pt"})
    with pytest.raises(UserError, match="holds other files than the checkpoint was trained on"):
        open_wan(config, ScalarCodec([0.0] * 16, [1.0] * 16), ScalarCodec([0.0] * 4, [1.0] * 4))
