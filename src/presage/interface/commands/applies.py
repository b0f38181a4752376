"""Which options of `presage train` the chosen recipe heeds. One that it would ignore is refused: whoever gives it
believes that it does something."""

from typing import TYPE_CHECKING

from presage.errors import UserError
from presage.interface.commands.options import SIZES

if TYPE_CHECKING:
    from presage.interface.commands.train import Train

RECIPES = ("metaworld", "finetune", "refine", "backbone", "behaviour_cloning", "debug")
"""Names of presage.training.recipes.RECIPES, without importing it."""
PARTS = ("state_dynamics", "renderer", "critic", "decoder")
"""presage.training.recipes.PARTS, likewise."""
OWN = "reference"
"""The system that is trained where none is named."""
KEEPS = "which keeps the checkpoint's cameras, columns and rates"


def check_options(train: "Train") -> None:
    """Raise UserError for options that contradict each other, or that the recipe does not heed."""
    for part in train.only:
        if part not in PARTS:
            raise UserError(f"--only {part}: choose from {', '.join(PARTS)}")
    if train.pretrained is not None:
        raise UserError("--pretrained goes with --system NAME; a recipe has --start-from and --backbone")
    if train.size in SIZES:
        raise UserError(f"--size {train.size} goes with --system NAME; a recipe has its own, give one of both")
    if train.weights and len(train.weights) != len(train.data):
        raise UserError(f"--weights has {len(train.weights)} numbers for {len(train.data)} datasets: one for each")
    if train.weights and not any(train.weights):
        raise UserError("--weights are all 0: nothing would be drawn; give one above 0")
    continues = train.recipe in ("finetune", "refine")
    if (bool(train.only) or continues) != (train.start_from is not None):
        raise UserError(
            "--start-from DIR goes with --only or with --recipe finetune or refine, and they with it: "
            "give both or neither"
        )
    if (train.recipe == "backbone") != (train.backbone is not None):
        raise UserError("--recipe backbone and --backbone DIR go together: give both or neither")
    if train.only and train.backbone is not None:
        raise UserError(
            "--backbone does not apply to --only, which trains parts of --start-from: leave one of them out"
        )
    chosen = f"--only {' '.join(train.only)}" if train.only else f"--recipe {train.recipe}"
    for option, (given, heeded, reason) in _options(train).items():
        if given and not heeded:
            raise UserError(f"{option} does not apply to {chosen}, {reason}: leave it out")


def check_system_options(train: "Train") -> None:
    """Raise UserError for options that `--system` does not heed."""
    ignored = {
        "--recipe": train.recipe is not None,
        "--weights": bool(train.weights),
        "--codec-steps": train.codec_steps is not None,
        "--part-steps": train.part_steps is not None,
        "--codec-from": train.codec_from is not None,
        "--backbone": train.backbone is not None,
        "--lora": train.lora is not None,
    }
    for option in (option for option, given in ignored.items() if given):
        raise UserError(
            f"{option} does not apply to --system {train.system}, whose stages and --size say it all: leave it out, or "
            "train the baseline with --recipe"
        )
    if train.steps is not None and not (train.start_from is not None and train.only):
        raise UserError("--steps goes with --system where one stage goes on: --start-from DIR --only STAGE --steps N")
    if train.start_from is not None and train.size is not None:
        raise UserError(f"--size {train.size} does not apply to --start-from, which keeps its own: leave it out")
    for option, given in _described(train).items() if train.start_from is not None else ():
        if given:
            raise UserError(f"{option} does not apply to --start-from, {KEEPS}: leave it out")
    if train.size is not None and train.size not in SIZES:
        raise UserError(f"--size {train.size}: a system's is one of {', '.join(SIZES)}")
    if train.pretrained is not None and train.start_from is not None:
        raise UserError("--pretrained begins anew with the weights of another, --start-from goes on: give one of them")
    if len(train.only) > 1:
        raise UserError(f"--only {' '.join(train.only)}: name one stage of --system at a time")


def _options(train: "Train") -> dict[str, tuple[bool, bool, str]]:
    """option -> (whether it is given, whether it is heeded, why not)."""
    fresh = train.start_from is None
    codec_reason = "which keeps the codec of " + ("its backbone" if train.backbone is not None else "--start-from")
    if train.codec_from is not None:
        codec_reason = "with which --codec-from keeps the codec of another checkpoint"
    trains_codec = fresh and train.backbone is None and train.codec_from is None
    trains = fresh or bool(set(train.only) - {"decoder"})
    return {
        "--steps": (train.steps is not None, not train.only, "which leaves the world model as it is"),
        "--codec-from": (train.codec_from is not None, fresh and train.backbone is None, codec_reason),
        "--codec-steps": (train.codec_steps is not None, trains_codec or "decoder" in train.only, codec_reason),
        "--part-steps": (train.part_steps is not None, trains, "which trains no part alone"),
        "--lora": (train.lora is not None, train.backbone is not None, "which has no --backbone"),
        "--size": (train.size is not None, train.backbone is not None, "which has no --backbone"),
        **{option: (given, fresh, KEEPS) for option, given in _described(train).items()},
    }


def _described(train: "Train") -> dict[str, bool]:
    """Options that say what the robot is, and whether they are given."""
    return {
        "--cameras": bool(train.cameras),
        "--fit": train.fit is not None,
        "--fps": train.fps is not None,
        "--chunk": train.chunk is not None,
        "--action": bool(train.action),
        "--state": bool(train.state),
        "--relative": bool(train.relative),
    }
