"""A system's checkpoint is used like any other: it acts, dreams, ranks, labels, and is measured."""

import json
import sys
from pathlib import Path

import pytest

from presage.interface.cli import main

TASK = "drawer-close-v3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A debug twin of presage's own model, trained on a handful of recorded episodes."""
    out = tmp_path_factory.mktemp("system")
    recorded = ["--out", str(out / "data"), "--tasks", TASK, "--episodes", "2", "--workers", "1"]
    assert main(["collect", *recorded]) == 0
    arguments = ["train", "--system", "reference", "--size", "debug", "--data", str(out / "data")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["presage", *arguments])
        assert main([*arguments, "--out", str(out / "run")]) == 0
    return out


@pytest.mark.parametrize(
    "command",
    [
        ["act", "--use", "closed_loop"],
        ["evaluate", "--policies", "joint", "no_imagination", "random"],
        ["synthesize", "--out", "made"],
    ],
    ids=lambda command: command[0],
)
def test_commands_take_it(command: list[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = ["--checkpoint", str(folder / "run" / "model"), "--tasks", TASK, "--episodes", "1", "--max-steps", "3"]
    assert main([*command, *options, "--json", "figures.json"]) == 0
    assert json.loads(Path("figures.json").read_text())["figures"]
