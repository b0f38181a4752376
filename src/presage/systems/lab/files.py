"""Small JSON files: written whole or not at all, read with one line that says what is wrong with them."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from presage.errors import UserError


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write under a temporary name and rename; what is not finite becomes null.

    Raises:
        UserError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(_plain(content), indent=1) + "\n")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose a writable folder") from None


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a file.

    Raises:
        UserError: there is none, or it is damaged; the line ends in `remedy`.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): {remedy}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, no object: {remedy}")
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
