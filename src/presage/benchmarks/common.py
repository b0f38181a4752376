"""What every bench is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presage.results.tables import episode_rows

if TYPE_CHECKING:
    import torch

    from presage.worlds.rollout import RolloutResult

Main = Callable[[Sequence[str]], int]
"""A command line: arguments -> exit code."""


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
    main: Main | None = None
    """presage's own, for benches of commands. It goes to worker processes, so it must be picklable."""

    def keep(self, policy: str, results: "Sequence[RolloutResult]", world: str = "real") -> None:
        """Note the episodes of a policy in `rows`."""
        self.rows.extend(episode_rows(policy, results, world))
