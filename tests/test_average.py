"""The script that makes a checkpoint of the mean of several ones' weights."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from presage.training.checkpoint import FORMAT, WEIGHTS, write_folder

SCRIPT = Path(__file__).parent.parent / "scripts" / "average.py"
FIRST = {"a": torch.tensor([1.0, 2.0], dtype=torch.bfloat16), "b": torch.zeros(2, 3)}
SECOND = {"a": torch.tensor([3.0, 8.0], dtype=torch.bfloat16), "b": torch.ones(2, 3)}


def average(*arguments: Path | str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    weights = {"short": FIRST, "long": SECOND}
    return [
        write_folder(tmp_path / n, {"format": FORMAT, "system": n}, {WEIGHTS: x}, f"Card of {n}.")
        for n, x in weights.items()
    ]


def test_weights_are_the_mean_and_the_rest_is_the_last_ones(two: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "mean"
    done = average(*two, "--out", out)
    assert done.returncode == 0, done.stderr
    found = load_file(out / WEIGHTS)
    assert found["a"].dtype == torch.bfloat16 and found["a"].tolist() == [2, 5]
    assert found["b"].tolist() == [[0.5] * 3] * 2
    for name in ("config.json", "card.md"):
        assert (out / name).read_text() == (two[-1] / name).read_text()


def test_weights_of_another_recipe_are_refused_in_one_line(two: list[Path], tmp_path: Path) -> None:
    save_file({"a": FIRST["a"]}, two[0] / WEIGHTS)
    done = average(*two, "--out", tmp_path / "mean")
    assert done.returncode == 2 and not (tmp_path / "mean").exists()
    assert done.stderr.count("\n") == 1 and str(two[0]) in done.stderr


def test_what_is_no_checkpoint_is_refused_in_one_line(two: list[Path], tmp_path: Path) -> None:
    done = average(two[0], tmp_path / "nothing", "--out", tmp_path / "mean")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "nothing" in done.stderr
