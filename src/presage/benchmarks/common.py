"""What every bench shares: its arguments, seeds that training never saw, intervals, and the facts that make a figure
repeatable (checkpoint, commit, versions, machine)."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from presage.errors import UserError
from presage.measures.statistics import wilson
from presage.worlds.seeds import FIRST_CALIBRATION_SEED

if TYPE_CHECKING:
    import torch

    from presage.worlds.rollout import RolloutResult

SHIPPED = Path(__file__).parent.parent / "checkpoints" / "mt10"
SEEDS_PER_BENCH_SEED = 1_000
VERSIONS_OF = ("torch", "numpy", "mujoco", "metaworld", "gymnasium", "av")


@dataclass(frozen=True)
class BenchArgs:
    """What a bench is given."""

    checkpoint: Path
    """Folder with config.json and model.safetensors."""
    seed: int
    episodes: int | None
    """Episodes (per task, where a bench has tasks); None: as many as the published figure used."""
    device: "torch.device"
    quick: bool
    """A run of seconds that exercises everything; its figures are not worth publishing."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """The episodes behind the figures: a bench appends what it rolled out."""

    def keep(self, policy: str, results: "Sequence[RolloutResult]", world: str = "real") -> None:
        """Note the episodes of a policy in `rows`."""
        self.rows.extend(episode_rows(policy, results, world))


def default_checkpoint() -> Path:
    """The checkpoint that comes with presage.

    Raises:
        UserError: this copy of presage has none.
    """
    if not (SHIPPED / "config.json").exists():
        raise UserError("this copy of presage ships no checkpoint: train one (presage train --help), --checkpoint DIR")
    return SHIPPED


def evaluation_seeds(seed: int, count: int) -> list[int]:
    """`count` episode seeds that belong to `--seed`, all below those that are kept for calibration and training.

    Raises:
        UserError: there are no such seeds.
    """
    first = seed * SEEDS_PER_BENCH_SEED
    if seed < 0 or count > SEEDS_PER_BENCH_SEED or first + count > FIRST_CALIBRATION_SEED:
        raise UserError(
            f"--seed {seed} with {count} episodes a task: seeds from {FIRST_CALIBRATION_SEED} on are kept "
            "for calibration "
            f"and training; choose 0 to {FIRST_CALIBRATION_SEED // SEEDS_PER_BENCH_SEED - 1} and at most "
            f"{SEEDS_PER_BENCH_SEED} episodes"
        )
    return list(range(first, first + count))


def success_figures(name: str, successes: Sequence[bool]) -> dict[str, float]:
    """`{name, name_low, name_high}`: a success rate with its 95 % Wilson bounds."""
    rate = wilson(int(np.sum(successes)), len(successes))
    return {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}


def episode_rows(policy: str, results: "Sequence[RolloutResult]", world: str = "real") -> list[dict[str, Any]]:
    """One row an episode, as result files keep them: `world` is real (the simulator) or imagined (the dream), `steps`
    counts chunks until success or the end."""
    return [
        {
            "policy": policy,
            "world": world,
            "task": r.task,
            "seed": r.seed,
            "instruction": r.instruction,
            "success": r.success,
            "steps": r.steps,
        }
        for r in results
    ]


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
