"""Parts of a finished checkpoint are trained alone, from the command line, and everything else stays what it was."""

from pathlib import Path

import pytest
import torch

from presage.interface.cli import main
from presage.training.checkpoint import checkpoint_weights, load_model
from presage.worlds.behaviours import Behaviours
from presage.worlds.collect import collect


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts") / "data"
    collect(root, ["reach-v3"], 2, seed=3, size=64, workers=1, behaviours=Behaviours(counterfactuals=2))
    return root


@pytest.fixture(scope="module")
def first(data: Path) -> Path:
    arguments = ["--recipe", "debug", "--codec-steps", "2", "--part-steps", "2", "--steps", "2"]
    assert main(["train", "--data", str(data), "--out", str(data.parent / "first"), *arguments]) == 0
    return data.parent / "first" / "model"


def test_only_the_named_parts_change(data: Path, first: Path) -> None:
    assert load_model(first).critic is not None  # the data hold counterfactuals
    arguments = ["--data", str(data), "--out", str(data.parent / "second"), "--start-from", str(first)]
    assert main(["train", *arguments, "--only", "critic", "decoder", "--codec-steps", "2", "--part-steps", "2"]) == 0
    before, after = (checkpoint_weights(folder) for folder in (first, data.parent / "second" / "model"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys() and changed
    assert all(name.startswith(("critic.", "codec.decoder.")) for name in changed)
    assert {name.split(".")[0] for name in changed} == {"critic", "codec"}
    card = (data.parent / "second" / "model" / "card.md").read_text()
    assert "Trained alone: critic, decoder" in card and "world model" not in card


def test_a_critic_needs_counterfactuals(data: Path, first: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plain = data.parent / "plain"
    collect(plain, ["reach-v3"], 1, seed=4, size=64, workers=1)
    arguments = [
        "--data",
        str(plain),
        "--out",
        str(data.parent / "third"),
        "--start-from",
        str(first),
        "--only",
        "critic",
    ]
    assert main(["train", *arguments]) == 2
    assert "--counterfactuals" in capfd.readouterr().err
