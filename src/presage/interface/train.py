"""`presage train`."""

import json as jsonlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from presage.errors import UserError
from presage.interface.output import Command, check_writable, command_line, summary, write_json, write_text


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train the image codec and then the world model on LeRobot datasets; the first one fits the codecs.

    Recipes: metaworld (the shipped model), finetune (continue a checkpoint: --start-from), backbone (adapt a published
    video model: --backbone, see presage models), behaviour_cloning (the baseline: same network, codec, data and steps,
    taught the expert's chunks alone) and debug (the whole pipeline in seconds). A killed training goes on to the same
    numbers when the same command is repeated.

        presage train --data data/mt10 --out runs/mt10
        presage train --data data/mt10 --out runs/mt10/bc --recipe behaviour_cloning --codec-from runs/mt10/model
        presage train --data data/mt10 data/new --weights 1 2 --out runs/more --recipe finetune --start-from runs/mt10/model
        presage train --data data/mt10 --out runs/wan --recipe backbone --backbone backbones/wan2.1-t2v-1.3b

    The checkpoint appears at OUT/model (config.json, model.safetensors, card.md), logs at OUT/state/log.jsonl and
    OUT/state/tensorboard.
    """

    data: tuple[Path, ...]
    """Dataset folders."""
    out: Path
    """Folder of the run."""
    recipe: str = "metaworld"
    """metaworld, finetune, backbone, behaviour_cloning or debug."""
    weights: tuple[float, ...] = ()
    """How often each dataset is drawn from; equally by default."""
    steps: Annotated[int | None, arg(metavar="N")] = None
    """Steps of the world model; the recipe's by default."""
    codec_steps: Annotated[int | None, arg(metavar="N")] = None
    """Steps of the image codec; the recipe's by default."""
    codec_from: Annotated[Path | None, arg(metavar="DIR")] = None
    """Keep the image codec of this checkpoint instead of training one."""
    start_from: Annotated[Path | None, arg(metavar="DIR")] = None
    """Continue from this checkpoint: its codecs and network are kept. Goes with the recipe finetune."""
    backbone: Annotated[Path | None, arg(metavar="DIR")] = None
    """Published video model in diffusers' format. Goes with the recipe backbone."""
    lora: Annotated[int, arg(metavar="RANK")] = 16
    """Rank of the change trained beside the backbone's frozen weights; 0 trains all weights."""
    size: Annotated[int, arg(metavar="PIXELS")] = 128
    """Side of the frames the backbone sees, a multiple of 16."""

    def run(self) -> None:
        self.check_output()
        from presage.training.data import open_dataset
        from presage.training.recipes import RECIPES, fit

        if self.recipe not in RECIPES:
            raise UserError(f"no recipe {self.recipe!r}: choose from {', '.join(RECIPES)}")
        if not self.data:
            raise UserError("--data names no dataset: give at least one folder")
        if self.weights and len(self.weights) != len(self.data):
            raise UserError(f"--weights has {len(self.weights)} numbers for {len(self.data)} datasets: one for each")
        for name, value in (("--steps", self.steps), ("--codec-steps", self.codec_steps)):
            if value is not None and value < 1:
                raise UserError(f"{name} {value}: give at least 1")
        if (self.recipe == "finetune") != (self.start_from is not None):
            raise UserError("--recipe finetune and --start-from DIR go together: give both or neither")
        if (self.recipe == "backbone") != (self.backbone is not None):
            raise UserError("--recipe backbone and --backbone DIR go together: give both or neither")
        for folder in self.data:
            open_dataset(folder)
        check_writable(self.out / "model.partial")
        recipe = RECIPES[self.recipe]()
        training = replace(recipe.training, seed=self.seed, steps=self.steps or recipe.training.steps)
        wan = None
        if self.backbone is not None:
            from presage.networks.wan_model import wan_config

            wan = wan_config(self.backbone, recipe.model, self.size, self.lora or None)
            training = training if self.lora else replace(training, lr=training.lr / 10)
        codec = replace(recipe.codec, seed=self.seed, steps=self.codec_steps or recipe.codec.steps)
        recipe = replace(recipe, training=training, codec=codec)
        weights = self.weights or (1.0,) * len(self.data)
        data = list(zip(self.data, weights, strict=True))
        checkpoint = fit(recipe, data, self.out, self.codec_from, "", self.start_from, wan)
        figures = _last_log(self.out / "state" / "log.jsonl")
        write_text(checkpoint / "card.md", self._card(recipe, figures))
        summary(f"checkpoint {checkpoint}", {"recipe": self.recipe, **figures})
        print(f"\nNext: presage act --checkpoint {checkpoint}   or   presage bench control --checkpoint {checkpoint}")
        if self.json is not None:
            write_json(self.json, {"command": command_line(), "seed": self.seed, "figures": figures})

    def _card(self, recipe: Any, figures: dict[str, Any]) -> str:
        from presage.benchmarks.common import describe_commit, describe_machine
        from presage.episodes.dataset import Dataset

        steps = f"{recipe.training.steps:,} steps"
        lines = [f"# {self.out.name}", "", f"Recipe `{self.recipe}`, {steps}, seed {self.seed}."]
        for folder in self.data:
            data = Dataset(folder)
            lines.append(f"Data `{folder.name}`: {len(data.episodes):,} episodes, {data.num_rows:,} rows.")
        machine = describe_machine()
        lines += [
            f"Trained for {figures.get('seconds', 0) / 3600:.2f} hours (world model, without the codec) on "
            f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores, at commit {describe_commit()}.",
            "",
            "```sh",
            command_line(),
            "```",
            "",
            "| loss term | last value |",
            "|---|---|",
            *[f"| {k} | {v:.4f} |" for k, v in figures.items() if k not in ("step", "seconds")],
        ]
        return "\n".join(lines) + "\n"


def _last_log(path: Path) -> dict[str, Any]:
    lines = path.read_text().splitlines() if path.exists() else []
    return jsonlib.loads(lines[-1]) if lines else {}
