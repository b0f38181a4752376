"""The facts that make a figure repeatable: checkpoint, commit, versions, machine."""

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

VERSIONS_OF = ("torch", "numpy", "mujoco", "metaworld", "gymnasium", "av")


def describe_checkpoint(folder: Path) -> dict[str, str]:
    """Name and hash of the weights; no path of this machine.

    Raises:
        UserError: `folder` is not a checkpoint.
    """
    from presage.training.checkpoint import weights_hash

    digest = weights_hash(folder)
    # A training leaves its checkpoint in RUN/model: the run's name says more.
    folder = folder.resolve()
    return {"name": folder.parent.name if folder.name == "model" else folder.name, "sha256": digest}


def describe_commit() -> str:
    """Short hash of this source's commit, with `+changes` when the source differs from it; `unknown` outside git."""
    source = Path(__file__).parent.parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=source, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if git("status", "--porcelain", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@lru_cache(maxsize=1)
def describe_versions() -> dict[str, str]:
    found = {"presage": _version("presage"), "python": platform.python_version()}
    return found | {name: _version(name) for name in VERSIONS_OF}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def describe_machine() -> dict[str, Any]:
    """What decides speed: processor, cores, memory, arithmetic, GPU. No names of hosts or people."""
    import torch

    from presage.device import multiplies_bf16

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory, 1),
        "bf16": multiplies_bf16(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def arithmetic(machine: Mapping[str, Any]) -> str:
    """What the processor of a described machine is asked to multiply, in words."""
    return "bf16 in hardware" if machine["bf16"] else "fp32"


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
