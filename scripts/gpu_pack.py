"""Gather what a training on a card needs beside a Python with a CUDA build of torch: presage, and the packages and
assets that its recording and training use, as one archive. `scripts/gpu_train.sh pack` calls it.

Packages come from the registry that pip is configured for, in the versions of constraints.txt, as wheels of the card's
Python. Of Meta-World only the scenes of the ten tasks are taken, of wordllama its vectors and tokenizer.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = (
    *("av", "mujoco", "metaworld", "wordllama", "fast-simplification", "gymnasium", "tyro", "websockets"),
    *("farama-notifications", "pyopengl", "glfw", "typeguard", "docstring-parser"),
)
"""What a Python that holds torch, numpy, scipy, pyarrow, matplotlib, pillow, tensorboard, torchmetrics, tokenizers,
safetensors and msgpack lacks"""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_5_x86_64")
LIMIT = 60
"""MB of the archive"""
LEFT_OUT = (
    *("mujoco/include", "mujoco/mjx", "mujoco/testdata", "mujoco/simulate", "mujoco/sysid"),
    *("wordllama/algorithms", "wordllama/extract", "wordllama/trainers", "metaworld/assets"),
)


def wheels(folder: Path, python: str) -> list[Path]:
    """The wheels of `PACKAGES` for a version of Python, such as 3.12."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
    command += ["--python-version", python, "--implementation", "cp", "-c", str(ROOT / "constraints.txt")]
    command += [part for platform in PLATFORMS for part in ("--platform", platform)]
    subprocess.run([*command, *PACKAGES], check=True)
    return sorted(folder.glob("*.whl"))


def scenes() -> list[Path]:
    """The files of the scenes of presage's Meta-World tasks, below metaworld/assets: what their XML includes."""
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    from presage.worlds.instructions import MT10

    found: set[Path] = set()
    for task in MT10:
        name = ALL_V3_ENVIRONMENTS[task].model_name.fget(None)
        found |= set(included(Path(name).resolve()))
    return sorted(found)


def included(top: Path) -> Iterator[Path]:
    """A scene's file and all that it names.

    Raises:
        FileNotFoundError: one of them is nowhere.
    """
    left, seen = [top], set[Path]()
    folders = [top.parent]
    while left:
        path = left.pop()
        if path in seen:
            continue
        seen.add(path)
        yield path
        if path.suffix != ".xml":
            continue
        elements = list(ET.parse(path).getroot().iter())
        named = [e.get(kind) for e in elements if e.tag == "compiler" for kind in ("meshdir", "texturedir", "assetdir")]
        folders += [(top.parent / name).resolve() for name in named if name]
        for name in (e.get("file") for e in elements):
            places = [(folder / name).resolve() for folder in (path.parent, *folders)] if name else []
            there = [place for place in places if place.is_file()]
            if name and not there:
                raise FileNotFoundError(f"{path} names {name}, which is in none of {', '.join(map(str, folders))}")
            left += there[:1]


def gather(site: Path, python: str) -> None:
    """Packages, assets and presage itself, as a folder for PYTHONPATH."""
    downloads = site.with_name("wheels")
    for wheel in wheels(downloads, python):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(site)
    for name in LEFT_OUT:
        shutil.rmtree(site / name, ignore_errors=True)
    for path in scenes():
        target = site / "metaworld" / "assets" / str(path).partition("/metaworld/assets/")[2]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    shutil.copytree(
        ROOT / "src" / "presage", site / "presage", ignore=shutil.ignore_patterns("__pycache__", "checkpoints")
    )
    shutil.rmtree(downloads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the archive to write, such as card/presage.tar.xz")
    parser.add_argument("--python", default="3.12", help="version of the card's Python")
    options = parser.parse_args()
    folder = options.out.parent / "packed"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "site").mkdir(parents=True)
    gather(folder / "site", options.python)
    with tarfile.open(options.out, "w:xz") as archive:
        archive.add(folder / "site", "site")
    shutil.rmtree(folder)
    size = options.out.stat().st_size / 1e6
    if size > LIMIT:
        sys.exit(f"gpu_pack: {options.out} has {size:.1f} MB, more than the {LIMIT} that may be carried")
    print(f"{options.out}: {size:.1f} MB")


if __name__ == "__main__":
    main()
