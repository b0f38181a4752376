"""The checkpoint that comes with presage."""

from pathlib import Path

from presage.errors import UserError

SHIPPED = Path(__file__).parent.parent / "checkpoints" / "mt10"


def default_checkpoint() -> Path:
    """The checkpoint that comes with presage.

    Raises:
        UserError: this copy of presage has none.
    """
    if not (SHIPPED / "config.json").exists():
        raise UserError("this copy of presage ships no checkpoint: train one (presage train --help), --checkpoint DIR")
    return SHIPPED
