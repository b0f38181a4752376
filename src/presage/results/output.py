"""What commands have in common: files that are whole, the `--json` file and the summary at the end."""

import contextlib
import json
import math
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from presage.errors import UserError


def check_writable(file: Path) -> None:
    """Raise UserError when `file` could not be written later; nothing is left on the disk."""
    try:
        if file.is_dir():
            raise UserError(f"{file} is a folder: name a file")
        if file.exists() and not file.is_file():  # a device would be replaced by a file
            raise UserError(f"{file} is a device or a pipe: name a file")
        there = next(folder for folder in file.absolute().parents if os.path.lexists(folder))
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}; choose another place") from None


def check_new_folder(folder: Path) -> None:
    """Raise UserError when `folder` exists or could not be made."""
    if os.path.lexists(folder):
        raise UserError(f"{folder} exists already: choose another folder or remove it")
    check_writable(folder)


def write_text(file: Path, text: str) -> None:
    """Write under a temporary name and rename, so that nobody ever sees half a file."""
    check_writable(file)
    temporary = file.with_name(f"{file.name}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        os.replace(temporary, file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"cannot write {file}: {error.strerror}; choose another place") from None


def write_json(file: Path, record: Mapping[str, Any]) -> None:
    write_text(file, json.dumps(plain(record), indent=1, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """JSON's own types: numpy scalars become numbers, what is not finite becomes null, paths become text."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def portable(path: Path) -> str:
    """A path without folders of this machine: absolute ones are shown from here, or by their name."""
    if not path.is_absolute():
        return str(path)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.name


def command_line(arguments: Sequence[str] | None = None) -> str:
    """The command as typed, its paths `portable`."""
    typed = sys.argv[1:] if arguments is None else arguments
    return shlex.join(["presage", *(portable(Path(a)) if Path(a).is_absolute() else a for a in typed)])


def summary(title: str, rows: Mapping[str, Any]) -> None:
    """Print a titled two-column table: one screen at the end of a command."""
    width = max(map(len, rows), default=0)
    print(f"\n{title}\n{'-' * len(title)}")
    for name, value in rows.items():
        print(f"{name:<{width}}  {show(value)}")


def show(value: Any) -> str:
    """A value for people: three significant digits, thousands separated."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return "-"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def show_rate(figures: Mapping[str, Any], name: str) -> str:
    """`17/20`-style rates are hard to compare: a success rate in percent with its bounds, `85 % [64, 95]`."""
    value, low, high = (figures.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return "-"
    bounds = "" if low is None or high is None else f" [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{100 * value:.0f} %{bounds}"


def show_correlation(figures: Mapping[str, Any], name: str) -> str:
    """A correlation with its bounds, `0.881 [0.763, 0.965]`; a few policies have none."""
    value, low, high = (figures.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None or math.isnan(value):
        return "-"
    if low is None or high is None or math.isnan(low):
        return f"{show(value)}, too few policies for an interval"
    return f"{show(value)} [{show(low)}, {show(high)}]"


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start
