"""The checkpoints that come with presage."""

from pathlib import Path

from presage.errors import UserError

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
SHIPPED = CHECKPOINTS / "reference"
"""What commands take by default: `--system reference`, one network of pixels that nothing stands beside"""
PARTS = CHECKPOINTS / "mt10"
"""The baseline: a transformer with parts beside it, a reader, a renderer, state dynamics, a critic. It also shows what
is measured of transformers alone, such as their cache."""


def default_checkpoint(parts: bool = False) -> Path:
    """The one that commands take by default, or the baseline with `parts`.

    Raises:
        UserError: this copy of presage has none.
    """
    folder = PARTS if parts else SHIPPED
    if not (folder / "config.json").exists():
        raise UserError("this copy of presage ships no checkpoint: train one (presage train --help), --checkpoint DIR")
    return folder
