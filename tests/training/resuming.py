"""A part that is trained alone, killed in between."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import presage.training.loop as module


def assert_resumes(
    trained: Callable[[Path], dict[str, torch.Tensor]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`trained` in a folder gives weights: killed after its second save and repeated, the very same."""
    whole, save, saves = trained(folder / "whole"), module.save_state, []

    def killed(*arguments: object) -> None:
        save(*arguments)  # type: ignore[arg-type]
        saves.append(1)
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_state", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(folder / "killed")
    again = trained(folder / "killed")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
