"""A run that is killed after every single save of every stage, and repeated each time, ends in the very same
checkpoint."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot
from presage.training import dreams, loop
from presage.training.checkpoint import checkpoint_weights
from presage.training.recipes import Recipe, debug, fit, for_robots
from tests.episodes.robots import write_robot


class Killed(BaseException):
    """The process ends here; nothing may catch it."""


def dies_after(save: Callable[..., None], stage: str, stages: list[str]) -> Callable[..., None]:
    def killed(*arguments: object) -> None:
        save(*arguments)
        stages.append(stage)
        raise Killed

    return killed


def short_recipe() -> Recipe:
    """Every stage saves after two steps of four; dreams are made as well."""
    recipe, short = debug(), {"steps": 4, "batch": 4, "save_every": 2}
    stages = ("codec", "reader", "state_dynamics", "renderer", "training")
    return replace(recipe, dream_every=1, **{name: replace(getattr(recipe, name), **short) for name in stages})


def run(data: Path, out: Path) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    robots = [Robot.from_dataset(Dataset(data), chunk=2)]
    return checkpoint_weights(
        fit(for_robots(short_recipe(), robots), [(data, 1.0)], out, None, lambda: "", robots=robots)
    )


def test_killed_after_every_save_equals_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_robot(tmp_path / "data", length=12, fps=10)
    whole = run(data, tmp_path / "whole")
    stages: list[str] = []
    for module, name in ((loop, "save_state"), (dreams, "_dream_into")):
        monkeypatch.setattr(module, name, dies_after(getattr(module, name), module.__name__.split(".")[-1], stages))
    for _ in range(20):
        try:
            again = run(data, tmp_path / "killed")
            break
        except Killed:
            continue
    assert stages == ["loop"] * 8 + ["dreams"] + ["loop"] * 2  # codec and three parts, dreams, the main training
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_dreams_that_were_killed_half_way_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_robot(tmp_path / "data", length=12, fps=10)
    whole = run(data, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(dreams.np, "save", lambda *_: (_ for _ in ()).throw(Killed))
        run(data, tmp_path / "killed")
    again = run(data, tmp_path / "killed")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
