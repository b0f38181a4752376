"""Recipes: plain functions from datasets to a checkpoint, in the stages that a first training needs.

    codec, or a published backbone -> state dynamics, renderer, reader, critic -> world model -> the same on its dreams

Every stage resumes where it was killed; a stage whose result exists is loaded. Both only if it was made from the same
(fingerprint.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from presage.codecs.image import ImageCodec, ImageCodecConfig
from presage.codecs.scalars import ScalarCodec, Spread
from presage.device import default_device
from presage.episodes.dataset import Dataset
from presage.episodes.marks import all_marks
from presage.episodes.mixture import shares
from presage.episodes.outcome import valid_actions
from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.episodes.steps import Steps
from presage.errors import UserError
from presage.networks.wan_model import WanModelConfig, open_wan
from presage.networks.world_model import WorldModel, WorldModelConfig
from presage.timeline.levels import Uniform
from presage.training.checkpoint import load_model, read_config, save_model, weight_files
from presage.training.codec import CodecTraining, train_codec
from presage.training.critic import CriticTraining, train_critic
from presage.training.data import Rows, has, load_rows, open_dataset
from presage.training.dreams import dream_rows, of_dreams
from presage.training.fingerprint import Entry, Fingerprint, entry, hash_of, of_dataset, of_model, of_parts, of_rows
from presage.training.learnable import about_sharing, check_learnable, remarks
from presage.training.objectives.denoise import Denoise
from presage.training.reader import ReaderTraining, train_reader
from presage.training.reference import TrainConfig, train
from presage.training.renderer import RendererTraining, train_renderer
from presage.training.resume import require_same_run
from presage.training.state_dynamics import StateDynamicsTraining, train_state_dynamics


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a checkpoint."""

    model: WorldModelConfig = field(default_factory=WorldModelConfig)
    codec: CodecTraining = field(default_factory=CodecTraining)
    reader: ReaderTraining = field(default_factory=ReaderTraining)
    state_dynamics: StateDynamicsTraining = field(default_factory=StateDynamicsTraining)
    renderer: RendererTraining = field(default_factory=RendererTraining)
    critic: CriticTraining = field(default_factory=CriticTraining)
    training: TrainConfig = field(default_factory=TrainConfig)
    dream_every: int = 0
    """Every so many-th episode is dreamed again with the weights that training starts from; 0: none is."""


def metaworld() -> Recipe:
    """`mt10`: ten tasks, two cameras of 64 pixels, chunks of four actions."""
    return Recipe()


def behaviour_cloning() -> Recipe:
    """The baseline: the same codec, network, data and steps, trained the expert's chunks and nothing else. It sees the
    newest frame alone, as the world model does when it acts. It imagines nothing, so nothing carries its frames."""
    recipe = metaworld()
    model = replace(recipe.model, state_dynamics=0, renderer=0)
    objective = Denoise(alone=Uniform(0.5), poor_weight=0.0, memoryless=1.0, drop_actions=0.4)
    return replace(recipe, model=model, training=replace(recipe.training, objective=objective))


def finetune() -> Recipe:
    """Continue a checkpoint on other or more data: a lower rate that falls from the start, a shorter average."""
    recipe = metaworld()
    training = replace(recipe.training, steps=1500, lr=6e-4, warmup=50, cooldown=0.7, ema=0.99)
    return replace(recipe, training=training)


def refine() -> Recipe:
    """Continue a checkpoint on its own dreams: long dreams stay true, and policies read them as they read frames."""
    return replace(finetune(), dream_every=2)


def backbone() -> Recipe:
    """Fine-tune a published video model (`--backbone`) by LoRA; all of its weights want a tenth of the rate. Rates as
    published for Wan on robot data: 1e-4 with LoRA (Jang et al. 2025, DreamGen), 1e-5 without (LingBot-VA)."""
    recipe = metaworld()
    training = replace(recipe.training, steps=5000, batch=8, lr=1e-4, warmup=100, ema=0.99)
    return replace(recipe, training=training)


def debug() -> Recipe:
    """The whole pipeline in seconds; the result is good for nothing else."""
    model = WorldModelConfig(
        codec=ImageCodecConfig(width=16, blocks=1, latent_channels=8),
        width=64,
        reader=64,
        renderer=64,
        layers=2,
        heads=2,
    )
    training = TrainConfig(steps=20, batch=4, warmup=5, save_every=10)
    return Recipe(
        model,
        CodecTraining(steps=20, batch=8),
        ReaderTraining(steps=20, batch=32),
        StateDynamicsTraining(steps=50, batch=32),
        RendererTraining(steps=20, batch=32),
        CriticTraining(steps=20, batch=32, width=32),
        training,
    )


PARTS = ("state_dynamics", "renderer", "critic", "decoder")
"""Parts of a finished checkpoint that can be trained anew, everything else left as it is. Not the reader: the
transformer has learned to listen to it."""


def unique(descriptions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same in the same order, each once."""
    return [d for i, d in enumerate(descriptions) if d not in descriptions[:i]]


def for_robots(recipe: Recipe, robots: Sequence[Robot]) -> Recipe:
    """The recipe with the model's cameras, sizes and rate set for `robots`, which share one model.

    Raises:
        UserError: they cannot: their cameras, rates or chunks differ.
    """
    first = robots[0]
    for robot in robots[1:]:
        for what, mine, others in (
            ("cameras", list(robot.cameras), list(first.cameras)),
            ("actions per second", robot.fps, first.fps),
            ("actions in a chunk", robot.chunk, first.chunk),
            ("rows that hold a chunk", robot.chunked_rows, first.chunked_rows),
        ):
            if mine != others:
                raise UserError(
                    f"robots {first.name!r} and {robot.name!r} differ in {what} ({others}, {mine}): one "
                    "model needs the "
                    "same; choose --cameras, --fps and --chunk"
                )
    slots = Slots.of(robots)
    model = replace(
        recipe.model,
        cameras=list(first.cameras),
        chunk=first.chunk,
        action_dim=slots.action_dim,
        state_dim=slots.state_dim,
        fps=first.steps_per_second,
    )
    return replace(recipe, model=model)


RECIPES = {
    "metaworld": metaworld,
    "finetune": finetune,
    "refine": refine,
    "backbone": backbone,
    "behaviour_cloning": behaviour_cloning,
    "debug": debug,
}


def fit_codec(recipe: Recipe, dataset: Dataset, out: Path, made_from: Fingerprint) -> ImageCodec:
    """Stage one: the image codec, in `out/codec`."""
    if not isinstance(recipe.model.codec, ImageCodecConfig):
        raise UserError("only the image codec is trained; the pixel codec needs no stage of its own")
    return train_codec(dataset, recipe.model.cameras, recipe.model.codec, recipe.codec, out / "codec", made_from)


def train_decoder(model: WorldModel, dataset: Dataset, recipe: Recipe, out: Path, made_from: Fingerprint) -> None:
    """Continue the decoder of a model's image codec; its latents stay what they are."""
    codec = model.codec
    if not isinstance(codec, ImageCodec):
        raise UserError("only the image codec's decoder is trained: the checkpoint has another codec")
    cameras, folder = model.config.cameras, out / "decoder"
    trained = train_codec(dataset, cameras, codec.config, recipe.codec, folder, made_from, codec)
    codec.load_state_dict(trained.state_dict())


def fit_scalars(datasets: Sequence[Dataset], name: str, size: int) -> ScalarCodec:
    """The codec of a column of `size` numbers; each number is fitted on the first dataset that recorded it, and its
    scale is large enough for all of them.

    Raises:
        UserError: a dataset's column has another size.
    """
    spreads = [Spread.of(np.empty((0, size)))]
    for dataset in datasets:
        if not has(dataset, name):
            continue
        values = dataset.column(name).reshape(dataset.num_rows, -1)
        if values.shape[1] != size:
            raise UserError(f"{dataset.root}: {name!r} has {values.shape[1]} numbers a row, the recipe wants {size}")
        spreads.append(Spread.of(values[valid_actions(dataset) if name == "action" else dataset.recorded(name)]))
    return ScalarCodec.between(spreads)


def scalar_codecs(config: WorldModelConfig, datasets: Sequence[Dataset]) -> tuple[ScalarCodec, ScalarCodec]:
    """The codecs of action chunks and states of a model of `config`, fitted on `datasets`."""
    action_codec = fit_scalars(datasets, "action", config.chunk * config.action_dim)
    return action_codec, fit_scalars(datasets, "observation.state", config.state_dim)


def new_model(recipe: Recipe, datasets: Sequence[Dataset], codec: torch.nn.Module | None) -> WorldModel:
    """A fresh world model whose scalar codecs are fitted on `datasets`, with `codec`'s weights."""
    scalars = scalar_codecs(recipe.model, datasets)
    torch.manual_seed(recipe.training.seed)
    model = WorldModel(recipe.model, *scalars).to(default_device())
    if codec is not None:
        model.codec.load_state_dict(codec.state_dict())
    return model


def _check_data(datasets: Sequence[tuple[Dataset, float]], recipe: Recipe, only: Sequence[str]) -> None:
    """Refuse data of which nothing would be learned, before anything is."""
    shares([weight for _, weight in datasets])
    for dataset, weight in datasets:
        if weight > 0 and list(only) != ["decoder"]:
            objective = recipe.training.objective
            check_learnable(dataset, objective.levels is None and not objective.poor_weight and not only)


def _check_parts(model: WorldModel, parts: Sequence[Rows], only: Sequence[str], where: Path) -> None:
    """Refuse to train a part that the checkpoint has not, or that the data say nothing of."""
    if "critic" in only and not any(rows.counterfactuals and rows.counterfactuals.known.any() for rows in parts):
        raise UserError(f"{where}: no counterfactuals to train a critic by; collect some with --counterfactuals 6")
    there = {
        "state_dynamics": model.state_dynamics is not None,
        "renderer": model.renderer is not None,
        "critic": model.state_dynamics is not None and any(s.derive is not None for s in model.streams),
    }
    for part in only:
        if not there.get(part, True):
            raise UserError(
                f"--only {part}: the checkpoint has none, since it was trained without a state; leave it out"
            )


def run_fingerprint(
    recipe: Recipe,
    datasets: Sequence[tuple[Path, float]],
    codec_from: Path | None,
    start_from: Path | None,
    robots: Sequence[Robot],
    described: dict[str, Any],
    recorded: Sequence[Dataset],
) -> Fingerprint:
    """What every stage of a run is made from, known before the first."""
    made = {
        "run.datasets": entry("number of datasets", len(datasets)),
        "run.weights": entry("--weights", [weight for _, weight in datasets]),
        "run.seed": entry("--seed", recipe.training.seed),
        "run.codec": entry("--codec-from", "none" if codec_from is None else "given"),
        "run.start": Entry("none", "--start-from"),
    }
    if start_from is not None:
        weights = {file.name: file for file in weight_files(start_from)}
        begin = hash_of({**weights, "config": read_config(start_from)})
        made["run.start"] = Entry(begin, f"weights of --start-from {start_from}")
    for i, ((path, _), dataset) in enumerate(zip(datasets, recorded, strict=True)):
        made |= of_dataset(i, path, dataset, robots[i] if robots else None, recipe.model.cameras)
    return made | {"run.robots": entry("robots", described)}


def fit(
    recipe: Recipe,
    datasets: Sequence[tuple[Path, float]],
    out: Path,
    codec_from: Path | None,
    card: Callable[[], str],
    start_from: Path | None = None,
    robots: Sequence[Robot] = (),
    episodes: Sequence[int] | None = None,
    wan: WanModelConfig | None = None,
    only: Sequence[str] = (),
    labels: Sequence[Path] = (),
) -> Path:
    """Train a checkpoint from nothing (or on the codec of another checkpoint) and write it to `out/model`.

    Args:
        datasets: folders and weights; the first fits the codecs.
        robots: for each dataset the robot that recorded it; none: rows are model steps that fit the recipe as they are.
        episodes: numbers of the episodes to read of every dataset, all by default.
        codec_from: a checkpoint whose codec is kept instead of training one.
        card: gives the text of `card.md`, once the training is over.
        start_from: a checkpoint to continue from: its codecs, network, size and robots are kept, whatever the recipe
            says.
        wan: a published backbone to adapt instead, and the robot it is for.
        labels: files of outcomes that people told; those beside the datasets by default.
        only: of `PARTS`; these are trained, and everything else stays what it is in `start_from`.

    Raises:
        UserError: something does not fit, or `out` holds what was made from something else.
    """
    described: dict[str, Any] = {}
    slots = None
    if robots:
        slots = Slots.of(robots)
        described = {"robots": unique([robot.to_config() for robot in robots]), "slots": asdict(slots)}
    if robots and start_from is not None:
        kept = read_config(start_from)
        described |= {name: kept[name] for name in described if name in kept}
        slots = Slots(**described["slots"])
    recorded = [open_dataset(path, episodes, labels) for path, _ in datasets]
    made = run_fingerprint(recipe, datasets, codec_from, start_from, robots, described, recorded)
    require_same_run(out, made)
    opened: list[tuple[Dataset, float]] = []
    said = about_sharing(robots)
    for i, (dataset, (_, weight)) in enumerate(zip(recorded, datasets, strict=True)):
        regroup = slots is not None and not robots[i].chunked_rows
        said += remarks(dataset, robots[i]) if robots else []
        opened.append((Steps(dataset, robots[i], slots) if regroup else dataset, weight))
    print("".join(f"{line}\n" for line in said), end="")
    _check_data(opened, recipe, only)
    every, first = [dataset for dataset, _ in opened], opened[0][0]
    if start_from is not None:
        model = load_model(start_from)
    elif wan is not None:
        scalars = scalar_codecs(wan, every)
        torch.manual_seed(recipe.training.seed)
        model = open_wan(wan, *scalars)
    elif codec_from is not None:
        source = load_model(codec_from)
        recipe = replace(recipe, model=replace(recipe.model, codec=source.config.codec))
        model = new_model(recipe, every, source.codec)
    else:
        model = new_model(recipe, every, fit_codec(recipe, first, out, made))
    parts: list[tuple[Rows, float]] = [(load_rows(d, model), w) for d, w in opened]
    _check_parts(model, [rows for rows, _ in parts], only, first.root)
    for i, ((path, _), (rows, _)) in enumerate(zip(datasets, parts, strict=True)):
        made |= of_rows(i, path, rows)
    made |= of_model(model)
    parts_to_train = only or (("state_dynamics", "renderer", "reader", "critic") if start_from is None else ())
    if "state_dynamics" in parts_to_train:
        train_state_dynamics(model, parts, recipe.state_dynamics, out / "state_dynamics", made)
    if "renderer" in parts_to_train:
        train_renderer(model, parts, recipe.renderer, out / "renderer", made)
    if "reader" in parts_to_train:
        train_reader(model, parts, recipe.reader, out / "reader", made)
    trained = made | of_parts(model, parts_to_train)
    if "critic" in parts_to_train:  # it reads what the others say
        train_critic(model, parts, recipe.critic, out / "critic", trained)
    if "decoder" in parts_to_train:  # last: latents in caches are named after the whole codec
        train_decoder(model, first, recipe, out, made)
    if not only:
        if recipe.dream_every:
            folders = [out / "dreams" / str(i) for i in range(len(parts))]
            dreamed = [dream_rows(model, r, recipe.dream_every, f, trained) for f, (r, _) in zip(folders, parts)]
            parts = [(r, w) for r, (_, w) in zip(dreamed, parts, strict=True)]
        train(model, parts, recipe.training, out / "state", trained | of_dreams(recipe.dream_every))
    base = {"judges": False} if start_from is None else read_config(start_from)
    judges = bool(base.get("judges", True)) or any(rows.value_valid.any() for rows, _ in parts)
    before = [read_config(folder).get("trained_on", "") for folder in (codec_from, start_from) if folder is not None]
    known = {"judges": judges, "trained_on": all_marks(recorded, " ".join(before))}
    return save_model(model, out / "model", card(), described | known)
