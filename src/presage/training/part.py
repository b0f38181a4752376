"""Train a part of the model on its own: the one loop, in full precision, at a constant and then falling rate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from presage.episodes.mixture import Drawn, Mixture
from presage.episodes.windows import Windows
from presage.training.batch import Terms, one_term
from presage.training.data import Rows
from presage.training.fingerprint import Fingerprint, entry
from presage.training.loop import Optimiser, optimise


@dataclass(frozen=True)
class PartTraining(Optimiser):
    warmup: int = 100
    ema: float = 0.99
    save_every: int = 1000
    bf16: bool = False


def gather(
    parts: Sequence[Rows], source_B: np.ndarray, columns: Callable[[Rows, np.ndarray], tuple[np.ndarray, ...]]
) -> list[Tensor]:
    """Columns (B, ...) of windows of several datasets, in the order in which they were drawn.

    columns: those of the windows `chosen` (B,) bool, which are of `rows`.
    """
    drawn = np.unique(source_B)  # a dataset of little or no weight may have no window in a batch
    grouped = [columns(parts[i], source_B == i) for i in drawn]
    place = np.argsort(np.argsort(source_B, kind="stable"))
    return [torch.from_numpy(np.concatenate(column)[place]) for column in zip(*grouped, strict=True)]


def train_part(
    part: nn.Module,
    loss: Callable[[Drawn, torch.Generator], Tensor],
    parts: Sequence[tuple[Rows, float]],
    window: int,
    training: PartTraining,
    out: Path,
    name: str,
    made_from: Fingerprint,
) -> None:
    """Fit `part` in place to what `loss` says of windows of `window` rows, and leave it frozen. Resumes from `out`.

    made_from: all that the weights follow from, except `training`.

    Raises:
        UserError: `out` holds what was made from something else.
    """
    part.requires_grad_(True)
    windows = [Windows(rows.length, window, seed=training.seed) for rows, _ in parts]
    mixture = Mixture(windows, [weight for _, weight in parts], training.seed)

    def objective(drawn: Drawn, generator: torch.Generator) -> Terms:
        return one_term(loss(drawn, generator))

    made = made_from | {"steps": entry("--part-steps", training.steps)}
    optimise(part, objective, mixture, {"*": 1.0}, training, out, made, f"train {name}")
    part.requires_grad_(False)
