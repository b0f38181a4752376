"""The checkpoints that come with presage."""

from collections.abc import Collection
from pathlib import Path

from presage.errors import UserError
from presage.worlds.wordings import WORLDS

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
SHIPPED = CHECKPOINTS / "reference"
"""What commands take by default: `--system reference`, one network of pixels that nothing stands beside"""
PUSHT = CHECKPOINTS / "pusht"
"""The same system, trained on Push-T: what commands take where all tasks are of that world"""
PARTS = CHECKPOINTS / "mt10"
"""The baseline: a transformer with parts beside it, a reader, a renderer, state dynamics, a critic. It also shows what
is measured of transformers alone, such as their cache."""


def default_checkpoint(parts: bool = False, tasks: Collection[str] = ()) -> Path:
    """The one that commands take by default for `tasks`, or the baseline with `parts`.

    Raises:
        UserError: this copy of presage has none.
    """
    of_pusht = bool(tasks) and WORLDS["pusht"].keys() >= set(tasks)
    folder = PARTS if parts else PUSHT if of_pusht else SHIPPED
    if not (folder / "config.json").exists():
        raise UserError("this copy of presage ships no checkpoint: train one (presage train --help), --checkpoint DIR")
    return folder


def shipped_or_folder(name: str) -> Path:
    """A checkpoint's folder, or that of one which comes with presage, by its name.

    Raises:
        UserError: there is neither.
    """
    for folder in (Path(name), CHECKPOINTS / name):
        if folder.is_dir():
            return folder
    there = ", ".join(sorted(path.parent.name for path in CHECKPOINTS.glob("*/config.json")))
    raise UserError(f"no checkpoint {name}: give a folder, or one that comes with presage ({there or 'none does'})")
