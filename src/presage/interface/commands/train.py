"""`presage train`."""

import json as jsonlib
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from presage.errors import UserError
from presage.interface.commands.applies import OWN, RECIPES, check_options
from presage.interface.commands.options import (
    Cameras,
    Columns,
    Command,
    ManyData,
    MaybeCount,
    MaybeFiles,
    MaybeFolder,
    MaybeRate,
    MaybeSpan,
    OutFolder,
    Size,
    Weights,
    choice,
    identity,
    one,
    several,
    whole,
    words,
)
from presage.interface.commands.systems import MaybeSystem
from presage.results.output import command_line, summary, write_json
from presage.results.record import describe_run

if TYPE_CHECKING:
    from presage.episodes.dataset import Dataset
    from presage.episodes.robot import Robot
    from presage.networks.world_model import WorldModelConfig


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train presage's own model, a published system or the baseline on LeRobot datasets.

    Any LeRobot dataset: cameras, action, state and rates follow from its info.json (presage inspect shows them) and can
    be said otherwise. Columns are a feature, `action:0-5,7` or `action:elbow,gripper` (by number or name), or `none`.
    Datasets of different robots train one model, each in entries of its own. A dataset without actions is video alone.
    A killed training goes on to the same numbers when the same command is repeated.

    presage's own model, `--system reference`, is what is trained by default; --pretrained reference begins with what
    the one that comes along has learned. --system NAME trains a published system, all of its stages (presage systems
    lists them); --only STAGE stops after that stage.

        presage train --pretrained reference --data data/arm --out runs/arm --relative all
        presage train --data data/mt10 --out runs/mine --size base
        presage train --data data/arm --out runs/more --start-from runs/mine/model --only far --steps 500
        presage train --system uwm --data data/arm data/videos --out runs/uwm
        presage train --system unipi --size debug --data user/name --episodes 0:50 --out runs/tiny

    Recipes train the baseline, which has parts beside its transformer: metaworld (`mt10`), finetune (continue a
    checkpoint: --start-from), refine (the same, on its own dreams of the data as well: dreams stay true for longer),
    backbone (adapt a published video model: --backbone, see presage models), behaviour_cloning (same network, codec,
    data and steps, trained on the expert's chunks alone) and debug (the whole pipeline in seconds).

        presage train --recipe metaworld --data data/mt10 data/new --weights 1 2 --out runs/mt10
        presage train --recipe behaviour_cloning --data data/mt10 --out runs/bc --codec-from runs/mt10/model
        presage train --recipe backbone --backbone backbones/wan2.1-t2v-1.3b --data data/mt10 --out runs/wan
        presage train --data data/tries --out runs/judged --start-from runs/mt10/model --only critic

    The checkpoint appears at OUT/model (config.json, model.safetensors, card.md), logs at OUT/state/log.jsonl and
    OUT/state/tensorboard; those of a system's stage at OUT/STAGE.
    """

    data: ManyData
    """Dataset folders, or user/name on the Hugging Face hub."""
    out: OutFolder
    """Folder of the run."""
    recipe: Annotated[str | None, one(choice(RECIPES), "RECIPE")] = None
    """Of the baseline: metaworld, finetune, refine, backbone, behaviour_cloning or debug."""
    system: MaybeSystem = None
    """Name, title or number of a system with a recipe. Without --recipe it is `reference`, or that of --start-from."""
    weights: Weights = ()
    """How often each dataset is drawn from; equally by default."""
    steps: MaybeCount = None
    """Of a system: of the stage --only on --start-from. Of a baseline: of the world model; the recipe's by default."""
    codec_steps: MaybeCount = None
    """Steps of the image codec; the recipe's by default."""
    part_steps: MaybeCount = None
    """Steps of each part that is trained alone, before the world model (state dynamics, renderer, scene reader,
    critic); the recipe's by default."""
    codec_from: MaybeFolder = None
    """Keep the image codec of this checkpoint instead of training one."""
    start_from: MaybeFolder = None
    """Continue from this checkpoint: its codecs and network are kept. A system's stages go on from its weights; a
    baseline's goes with the recipes finetune and refine, or with --only."""
    pretrained: Annotated[str | None, one(words, "DIR")] = None
    """Begin all stages with the weights of this checkpoint that fit, whatever its robot; `reference` is
    the one that comes with presage. Its networks are kept, and trained about as long as --size brief."""
    only: Annotated[tuple[str, ...], several(words, "PART", key=identity)] = ()
    """Of a system: train this stage, on the finished ones before it or on --start-from. Of a baseline: train these
    parts of --start-from and leave everything else as it is: state_dynamics, renderer, critic (needs data collected
    with --counterfactuals), decoder (of the image codec, --codec-steps)."""
    backbone: MaybeFolder = None
    """Published video model in diffusers' format. Goes with the recipe backbone."""
    lora: Annotated[int | None, one(whole(0, 4096), "RANK")] = None
    """Rank of the change trained beside the backbone's frozen weights, 16 by default; 0 trains all weights."""
    size: Size = None
    """Of a system: debug, brief, small (by default), tuned, base, or card (base on a CUDA card). With --backbone: side
    of the frames it sees, a multiple of 16; 128 by default."""

    cameras: Cameras = ()
    """What the model looks through; all cameras by default. eye=cam_high renames, all=high+left tiles several into one.
    """
    fit: Annotated[Literal["crop", "letterbox"] | None, one(choice(("crop", "letterbox")), "{crop,letterbox}")] = None
    """How a picture becomes square: its centre (crop, the default), or all of it between black bars."""
    fps: MaybeRate = None
    """Actions per second; rows are resampled to it. The dataset's by default."""
    chunk: Annotated[int | None, one(whole(1, 10_000), "N")] = None
    """Actions between two frames of the model; by default so many that it makes about five steps per second."""
    action: Columns = ()
    """Columns of the action; none: only the video is learned."""
    state: Columns = ()
    """Columns of the state; observation.state by default."""
    relative: Columns = ()
    """Actions trained as differences from the state before their chunk; `all`: all but grippers."""
    episodes: MaybeSpan = None
    """Which episodes to read: 0:50, or 3,7,20:30. All by default."""
    labels: MaybeFiles = ()
    """Outcomes that people told (presage label), where they do not lie beside their dataset as DATA.labels.json."""

    def run(self) -> None:
        from presage.episodes.choose import parse_episodes
        from presage.episodes.labels import require_used
        from presage.training import recipes
        from presage.training.data import open_dataset

        system = self.trained_system()
        if system is not None:
            from presage.interface.commands.train_system import train_system

            return train_system(replace(self, system=system), system)
        name = self.recipe or "metaworld"
        check_options(replace(self, recipe=name))
        episodes = None if self.episodes is None else parse_episodes(self.episodes)
        recipe = recipes.RECIPES[name]()
        datasets = [open_dataset(folder, episodes, self.labels) for folder in self.data]
        require_used(datasets, self.labels)
        for note in dict.fromkeys(note for data in datasets for note in data.notes):
            print(note, file=sys.stderr)
        robots = self.robots(datasets, recipe.model)
        recipe = recipes.for_robots(recipe, robots)
        training = replace(recipe.training, seed=self.seed, steps=self.steps or recipe.training.steps)
        wan = None
        if self.backbone is not None:
            from presage.networks.wan_model import wan_config

            rank = 16 if self.lora is None else self.lora
            wan = wan_config(self.backbone, recipe.model, int(self.size or 128), rank or None)
            training = training if rank else replace(training, lr=training.lr / 10)
        codec = replace(recipe.codec, seed=self.seed, steps=self.codec_steps or recipe.codec.steps)
        trained_alone = (recipe.state_dynamics, recipe.renderer, recipe.reader, recipe.critic)
        steps = [self.part_steps or part.steps for part in trained_alone]
        recipe = replace(
            recipe,
            training=training,
            codec=codec,
            state_dynamics=replace(recipe.state_dynamics, seed=self.seed, steps=steps[0]),
            renderer=replace(recipe.renderer, seed=self.seed, steps=steps[1]),
            reader=replace(recipe.reader, seed=self.seed, steps=steps[2]),
            critic=replace(recipe.critic, seed=self.seed, steps=steps[3]),
        )
        weights = self.weights or (1.0,) * len(self.data)
        data = list(zip(self.data, weights, strict=True))

        def card() -> str:
            return self._card(name, recipe, self._last_log(), episodes)

        sources = (self.codec_from, card, self.start_from)
        checkpoint = recipes.fit(recipe, data, self.out, *sources, robots, episodes, wan, self.only, self.labels)
        figures = self._last_log()
        made = {"trained": " ".join(self.only)} if self.only else {"recipe": name}
        summary(f"checkpoint {checkpoint}", made | figures)
        from presage.interface.commands.train_system import what_next

        print(f"\nNext: {what_next(robots[0], checkpoint)}")
        if self.json is not None:
            write_json(self.json, describe_run(self.seed, figures))

    def trained_system(self) -> str | None:
        """The system that is trained; None where it is the baseline, by a recipe or with options of one."""
        from presage.training.checkpoint import read_config

        if self.system is not None or self.recipe is not None or self.backbone is not None:
            return self.system
        if self.start_from is not None:
            return read_config(self.start_from).get("system")
        return OWN

    def robots(self, datasets: "list[Dataset]", model: "WorldModelConfig") -> "list[Robot]":
        """The robot behind each dataset: the checkpoint's that is continued, or what the options and info.json say."""
        from presage.episodes.robot import Robot, find_robot, holds_chunks, united
        from presage.episodes.slots import separate
        from presage.training.checkpoint import read_config

        options = (self.fps, self.chunk, self.fit, *self.action, *self.state, *self.relative)
        if self.start_from is not None:
            known = Robot.all_from_config(read_config(self.start_from), self.start_from / "config.json")
            return [find_robot(known, dataset) for dataset in datasets]
        robots = []
        for dataset in datasets:
            if not holds_chunks(dataset):
                video_alone = self.system is not None and "action" not in dataset.features
                robots.append(
                    Robot.from_dataset(
                        dataset,
                        self.cameras,
                        self.action or (("none",) if video_alone else ()),
                        self.state,
                        self.relative,
                        self.fps,
                        self.chunk,
                        self.fit or "crop",
                    )
                )
                continue
            if any(option is not None for option in options):
                raise UserError(
                    f"{dataset.root}: its rows hold a chunk each, so --fps, --chunk, --fit, --action, --state and "
                    "--relative do not apply; leave them out"
                )
            robots.append(self._recorded_robot(dataset, model))
        return united(separate(robots))

    def _recorded_robot(self, dataset: "Dataset", model: "WorldModelConfig") -> "Robot":
        """The robot of presage's own recordings. Recipes are made for Meta-World's; other worlds bring their own
        sizes."""
        from presage.episodes.robot import CHUNKED_ROBOT, Robot

        if dataset.robot_type in (None, CHUNKED_ROBOT):
            shape = (model.chunk, model.action_dim, model.state_dim, model.fps)
            return Robot.of_chunked_rows(self.cameras or model.cameras, *shape)
        action, state = (dataset.features[name]["shape"][0] for name in ("action", "observation.state"))
        shape = (model.chunk, action // model.chunk, state, dataset.fps)
        return Robot.of_chunked_rows(self.cameras or dataset.cameras, *shape, name=dataset.robot_type)

    def _last_log(self) -> dict[str, Any]:
        path = self.out / "state" / "log.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return jsonlib.loads(lines[-1]) if lines else {}

    def _card(self, name: str, recipe: Any, figures: dict[str, Any], episodes: list[int] | None) -> str:
        from presage.results.provenance import describe_commit, describe_machine
        from presage.training.data import open_dataset
        from presage.training.resume import read_run

        what = f"Recipe `{name}`, {recipe.training.steps:,} steps"
        took = f"Trained for {figures.get('seconds', 0) / 3600:.2f} hours (world model, without the codec)"
        if self.only:
            what = f"Trained alone: {', '.join(self.only)}; all else is of `{self.start_from}`"
            took = "Trained"
        elif before := read_run(self.out / "state").get("steps", [])[:-1]:
            what += f", after a training of {', '.join(map(str, before))} steps was lengthened"
        lines = [f"# {self.out.name}", "", f"{what}, seed {self.seed}."]
        for folder in self.data:
            data = open_dataset(folder, episodes)
            lines.append(f"Data `{folder.name}`: {len(data.episodes):,} episodes, {data.num_rows:,} rows.")
        machine = describe_machine()
        lines += [
            f"{took} on {machine['gpu'] or machine['cpu']}, {machine['cores']} cores, at commit {describe_commit()}.",
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
