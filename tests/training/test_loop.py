"""A training killed at any moment goes on to the same numbers."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from presage.training.reference import TrainConfig, train
from tests.tiny import tiny_model
from tests.training.test_data import numbered_rows

CONFIG = TrainConfig(steps=12, batch=2, warmup=2, save_every=3, log_every=1)

SCRIPT = """
import sys
from pathlib import Path
from tests.training.test_loop import run
run(Path(sys.argv[1]))
"""


def run(out: Path, config: TrainConfig = CONFIG) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    model = tiny_model()
    rows = numbered_rows([9, 8])
    rows.state, rows.action = rows.state / 10, rows.action / 10
    rows.latents = (rows.latents / 10)[..., :4, :].repeat(1, 2)[..., : model.config.codec.token_dim]
    return train(model, [(rows, 1.0)], config, out, {}, quiet=True).network.state_dict()


def losses(out: Path) -> list[tuple[int, float]]:
    return [(r["step"], r["loss"]) for r in map(json.loads, (out / "log.jsonl").read_text().splitlines())]


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    expected = run(tmp_path / "whole")
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "killed")])
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "state.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resumed = run(tmp_path / "killed")
    assert all(torch.equal(expected[k], resumed[k]) for k in expected)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_the_rate_warms_up_and_cools_down_to_zero() -> None:
    from presage.training.loop import rate

    config = replace(CONFIG, steps=100, warmup=10, cooldown=0.2, lr=1.0)
    assert rate(config, 0) == 0.1 and rate(config, 50) == 1.0 and 0 < rate(config, 99) < 0.06
