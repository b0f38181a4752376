"""How the reference model is trained: in which roles its streams appear, what counts how much, and the stage itself."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from presage.episodes.mixture import Drawn, Mixture
from presage.episodes.windows import Windows
from presage.networks.names import ACTION, STATE, VALUE, VIDEO
from presage.networks.world_model import WorldModel
from presage.timeline.levels import GIVEN, UNKNOWN, Levels, Role, Uniform
from presage.training.batch import Terms
from presage.training.data import Rows, mixed_batch
from presage.training.fingerprint import Fingerprint
from presage.training.loop import Optimiser, optimise
from presage.training.objectives.denoise import ALONE, Denoise


def uses(joint: float, independent: float, forward: float, inverse: float, video: float) -> Levels:
    """The mixture of roles that a model of all uses is trained in. What a known action does to the robot itself is the
    base prediction's business, and the video shows it: its state is given with the action."""
    k, other = Uniform(0.3), Uniform(0.3, "independent")
    roles = (
        Role(k, k, weight=joint),
        Role(k, other, weight=independent),
        Role(k, GIVEN, {STATE: GIVEN}, forward),
        Role(GIVEN, k, weight=inverse),
        Role(k, UNKNOWN, weight=video),
    )
    return Levels(roles)


REFERENCE_WEIGHTS = {VALUE: 0.5, f"{ACTION}{ALONE}": 1.0, ACTION: 1.0, f"{VIDEO}.*": 1.0, STATE: 2.0}


def reference_objective() -> Denoise:
    """The shipped model's."""
    return Denoise(
        levels=uses(0.25, 0.05, 0.3, 0.25, 0.15),
        poor=uses(0.0, 0.0, 0.6, 0.25, 0.15),
        unlabelled=uses(0.0, 0.0, 0.0, 0.0, 1.0),
        questions=2,
        alone=Uniform(0.5),
        history_noise=0.4,
        spared=STATE,
        dreamed=0.8,
        drop_actions=0.4,
        drop_quality=0.15,
        memoryless=0.6,
        poor_weight=0.2,
    )


@dataclass(frozen=True)
class TrainConfig(Optimiser):
    window: int = 4
    """Rows per training window."""
    objective: Denoise = field(default_factory=reference_objective)
    weights: dict[str, float] = field(default_factory=lambda: dict(REFERENCE_WEIGHTS))
    """Of the objective's terms, by pattern; those of one pattern are averaged."""


def train(
    model: WorldModel,
    parts: list[tuple[Rows, float]],
    config: TrainConfig,
    out: Path,
    made_from: Fingerprint,
    quiet: bool = False,
) -> WorldModel:
    """Fit `model.network` on datasets drawn by weight (`optimise`); the codec stays as it is."""
    rows = [r for r, _ in parts]
    windows = [Windows(r.length, config.window, seed=config.seed) for r in rows]
    mixture = Mixture(windows, [weight for _, weight in parts], config.seed)

    def objective(drawn: Drawn, generator: torch.Generator) -> Terms:
        return config.objective(model, mixed_batch(rows, model, *drawn).to(model.device), generator)

    optimise(model.network, objective, mixture, config.weights, config, out, made_from, quiet=quiet)
    model.eval()
    return model
