"""The checkpoints that come with presage."""

from pathlib import Path

from presage.errors import UserError

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
SHIPPED = CHECKPOINTS / "mt10"
"""What commands take by default: a video model with parts beside it, a reader, a renderer, state dynamics, a critic"""
REFERENCE = CHECKPOINTS / "reference"
"""`--system reference`: one network of pixels, without such parts"""


def default_checkpoint() -> Path:
    """The one that commands take by default.

    Raises:
        UserError: this copy of presage has none.
    """
    if not (SHIPPED / "config.json").exists():
        raise UserError("this copy of presage ships no checkpoint: train one (presage train --help), --checkpoint DIR")
    return SHIPPED
