"""The benches of the uses run to the end in the real simulator; a random model's figures mean nothing."""

import importlib
import math

import pytest
import torch
from tests.tiny import tiny_model, tiny_pusht, tiny_system

from presage.benchmarks import dream
from presage.benchmarks.common import BenchArgs
from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.training.checkpoint import save_model

KEYS = {
    "control": [
        "success_joint",
        "success_closed_loop_low",
        "success_open_loop",
        "success_no_imagination",
        "success_expert",
    ],
    "dream": ["robot_psnr_8", "copy_robot_psnr_8", "hand_px_8", "frozen", "random_weights/counterfactual_r_hand"],
    "evaluation": [
        "policies",
        "policies_close",
        "mmrv",
        "hallucinated",
        "success_threshold",
        "random_weights/episodes_per_policy",
    ],
    "planning": [
        "gain_imagination",
        "gain_imagination_low",
        "gain_over_random_high",
        "success_true_future",
        "success_oracle",
        "curve/imagination_1_of_8",
        "curve/random_weights_2_of_4",
        "curve/true_future_1_of_8_low",
        "seconds_per_decision",
    ],
    "readers": ["hand_px", "object_px", "called_gone", "pusht/object_px"],
    "recordings": [
        "gate_wrong",
        "gate_right/copy",
        "gate_right/three_episodes",
        "policies",
        "mmrv",
        "hallucinated",
        "answered",
        "pairs_told",
        "abstention_accuracy/50",
        "video_replay_ratio",
        "video_shuffled_ratio",
        "seconds_ranking",
    ],
    "synthesis": [
        "replay_ratio",
        "shuffled_error_ratio",
        "dream_success",
        "video_replay_ratio",
        "video_shuffled_ratio",
    ],
    "throughput": ["simulator_steps_per_s", "dream_steps_per_s_1", "dream_steps_per_s_16", "ratio_64"],
}

UNDEFINED_HERE = {"evaluation": {f"random_weights/pearson{x}" for x in ("_low", "_high", "_close_low", "_close_high")}}
"""Figures that are there, and no numbers where nobody ever succeeds"""
OF_STATE_DYNAMICS = {"synthesis": {"kinematics_success"}}
"""Figures of models alone that know where actions lead the robot's own state"""
SHAPES = {"one camera": {"cameras": ["top"]}, "128 pixels": {"size": 128}, "8 actions a step": {"chunk": 8}}


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_bench_has_its_figures(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = save_model(tiny_model(size=64), tmp_path / "model", "a random model")
    module = importlib.import_module(f"presage.benchmarks.{name}")
    figures = module.run(BenchArgs(folder, 0, None, torch.device("cpu"), quick=True))
    for key in KEYS[name]:
        assert math.isfinite(figures[key]), key
    assert OF_STATE_DYNAMICS.get(name, set()) <= figures.keys()
    assert all(isinstance(x, int | float) for x in figures.values())


@pytest.mark.parametrize("name", ["control", "evaluation", "planning", "synthesis", "throughput"])
def test_a_system_has_the_same_figures_but_those_of_state_dynamics(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tiny_system(tmp_path / "model", "reference")
    module = importlib.import_module(f"presage.benchmarks.{name}")
    figures = module.run(BenchArgs(folder, 0, None, torch.device("cpu"), quick=True))
    left_out = OF_STATE_DYNAMICS.get(name, set())
    assert {*KEYS[name], *UNDEFINED_HERE.get(name, ())} <= figures.keys() and not left_out & figures.keys()
    said = capsys.readouterr().err
    assert all(f"{figure} is left out" in said for figure in left_out)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["dream", "evaluation", "throughput"])
def test_a_model_of_another_shape_is_refused_before_anything_is_measured(name, shape, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tiny_system(tmp_path / "model", "reference", **SHAPES[shape])
    module = importlib.import_module(f"presage.benchmarks.{name}")
    args = BenchArgs(folder, 0, None, torch.device("cpu"), quick=True)
    with pytest.raises(UserError, match="a checkpoint trained on front, top at 64 pixels, 4 actions a step$") as raised:
        module.run(args)
    assert str(folder) in str(raised.value) and "\n" not in str(raised.value)
    assert not args.rows and not (tmp_path / "cache").exists()


def test_a_model_of_push_t_is_measured_in_push_t(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    robot = Robot.of_chunked_rows(["top"], 4, 2, 2, 2.5, "pusht")
    folder = save_model(tiny_pusht(size=64), tmp_path / "model", "a random model", {"robots": [robot.to_config()]})
    figures = dream.run(BenchArgs(folder, 0, None, torch.device("cpu"), quick=True))
    for key in ("robot_psnr_8", "object_degrees_8", "knock_within_3px", "random_weights/counterfactual_r_object"):
        assert math.isfinite(figures[key]), key
