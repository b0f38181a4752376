"""The script that trains on a card, rehearsed on a CPU; and what it carries along."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mujoco
import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "gpu_train.sh"
spec = importlib.util.spec_from_file_location("gpu_pack", ROOT / "scripts" / "gpu_pack.py")
assert spec is not None and spec.loader is not None
gpu_pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gpu_pack)


def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT / "src"), **settings}
    return subprocess.run(["bash", SCRIPT, *arguments], env=environment, capture_output=True, text=True)


def test_it_goes_from_nothing_to_a_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "run"
    few = {"SIZE": "debug", "TASKS": "drawer-close-v3", "EPISODES": "3", "WORKERS": "1", "OMP_NUM_THREADS": "1"}
    done = run("train", str(out), **few)
    assert done.returncode == 0, done.stderr
    assert "rehearsal on the CPU" in done.stdout
    config = json.loads((out / "model" / "config.json").read_text())
    assert (config["system"], config["size"]) == ("reference", "debug")
    assert (out / "model" / "card.md").exists() and (out / "figures.json").exists()


@pytest.mark.parametrize("arguments", [(), ("train",), ("fly", "there")])
def test_what_it_does_not_understand_is_one_line(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 1 and done.stderr.startswith("gpu_train: ") and done.stderr.count("\n") == 1


def test_a_python_that_lacks_something_is_told_so(tmp_path: Path) -> None:
    """Of a Python without any package."""
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    done = run("train", str(tmp_path / "run"), PYTHON=str(bare), PYTHONPATH="")
    assert done.returncode == 1 and "has no torch numpy" in done.stderr and not (tmp_path / "run").exists()


def test_the_scenes_that_it_carries_are_whole(tmp_path: Path) -> None:
    """Copied to a place where nothing else is, a scene is compiled as it is in the package."""
    files = gpu_pack.scenes()
    root = Path(os.path.commonpath(files))
    for path in files:
        target = tmp_path / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    scenes = [path for path in files if path.parent.name == "sawyer_xyz"]
    assert len(scenes) >= 8 and sum(path.stat().st_size for path in files) < 15e6
    for scene in [path for path in scenes if "drawer" in path.name]:
        model = mujoco.MjModel.from_xml_path(str(tmp_path / scene.relative_to(root)))
        assert model.nbody == mujoco.MjModel.from_xml_path(str(scene)).nbody


def test_a_scene_that_names_what_is_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "top.xml").write_text('<mujoco><include file="part.xml"/></mujoco>')
    with pytest.raises(FileNotFoundError, match=r"top.xml names part.xml"):
        list(gpu_pack.included(tmp_path / "top.xml"))
    (tmp_path / "part.xml").write_text("<mujocoinclude/>")
    assert {path.name for path in gpu_pack.included(tmp_path / "top.xml")} == {"top.xml", "part.xml"}
