"""Which options of `presage train` the chosen recipe heeds. One that it would ignore is refused: whoever gives it
believes that it does something."""

from typing import TYPE_CHECKING

from presage.errors import UserError

if TYPE_CHECKING:
    from presage.interface.commands.train import Train

RECIPES = ("metaworld", "finetune", "refine", "backbone", "behaviour_cloning", "debug")
"""Names of presage.training.recipes.RECIPES, without importing it."""
PARTS = ("state_dynamics", "renderer", "critic", "decoder")
"""presage.training.recipes.PARTS, likewise."""


def check_options(train: "Train") -> None:
    """Raise UserError for options that contradict each other, or that the recipe does not heed."""
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


def _options(train: "Train") -> dict[str, tuple[bool, bool, str]]:
    """option -> (whether it is given, whether it is heeded, why not)."""
    fresh = train.start_from is None
    codec_reason = "which keeps the codec of " + ("its backbone" if train.backbone is not None else "--start-from")
    if train.codec_from is not None:
        codec_reason = "with which --codec-from keeps the codec of another checkpoint"
    trains_codec = fresh and train.backbone is None and train.codec_from is None
    trains = fresh or bool(set(train.only) - {"decoder"})
    keeps = "which keeps the checkpoint's cameras, columns and rates"
    described = {
        "--cameras": bool(train.cameras),
        "--fit": train.fit is not None,
        "--fps": train.fps is not None,
        "--chunk": train.chunk is not None,
        "--action": bool(train.action),
        "--state": bool(train.state),
        "--relative": bool(train.relative),
    }
    return {
        "--steps": (train.steps is not None, not train.only, "which leaves the world model as it is"),
        "--codec-from": (train.codec_from is not None, fresh and train.backbone is None, codec_reason),
        "--codec-steps": (train.codec_steps is not None, trains_codec or "decoder" in train.only, codec_reason),
        "--part-steps": (train.part_steps is not None, trains, "which trains no part alone"),
        "--lora": (train.lora is not None, train.backbone is not None, "which has no --backbone"),
        "--size": (train.size is not None, train.backbone is not None, "which has no --backbone"),
        **{option: (given, fresh, keeps) for option, given in described.items()},
    }
