"""What the value of an option may be, said once for all commands and checked while the command line is parsed.

A type is `one(read)` or `several(read)` beside the field's own, where `read` makes the value of a text, or says what is
allowed in a ValueError or UserError. Before anything was computed or written a wrong value is one line that names the
option. Commands built in Python are not checked here.
"""

import math
import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from tyro.constructors import PrimitiveConstructorSpec

from presage.errors import UserError
from presage.results.output import check_new_folder, check_writable
from presage.worlds.instructions import check_task

Read = Callable[[str], Any]
BILLION = 1_000_000_000
SIZES = ("debug", "brief", "small", "tuned", "base", "card")
"""Names of presage.systems.system.SIZES, without importing it."""
LONGEST_NAME = 200
"""Bytes of an output's name: file systems allow 255, and its temporary name is longer."""


class RefusedError(ValueError):
    """A value that an option cannot have; `cli` puts the option's name before it."""


def one(read: Read, metavar: str) -> PrimitiveConstructorSpec[Any]:
    """A single value."""
    return _spec(1, metavar, lambda texts: _checked(read, texts[0]))


def several(
    read: Read, metavar: str, least: int = 0, key: Callable[[Any], Hashable] | None = None
) -> PrimitiveConstructorSpec[Any]:
    """A tuple of at least so many; with `key`, no two that are the same to it."""

    def values(texts: Sequence[str]) -> tuple[Any, ...]:
        if len(texts) < least:
            raise RefusedError(f"{len(texts) or 'none'} given: give at least {least}")
        made = tuple(_checked(read, text) for text in texts)
        keys = [] if key is None else [key(value) for value in made]
        twice = [text for i, text in enumerate(texts) if keys and keys[i] in keys[:i]]
        if twice:
            raise RefusedError(f"{_show(twice[0])}: given twice; give each once")
        return made

    return _spec("*", f"[{metavar} ...]", values)


def _spec(nargs: Any, metavar: str, read: Callable[[list[str]], Any]) -> PrimitiveConstructorSpec[Any]:
    def texts(value: Any) -> list[str]:
        return [str(each) for each in value] if isinstance(value, tuple) else [str(value)]

    return PrimitiveConstructorSpec(nargs, metavar, read, is_instance=lambda _: True, str_from_instance=texts)


def _checked(read: Read, text: str) -> Any:
    try:
        return read(text)
    except (ValueError, UserError) as error:
        raise RefusedError(f"{_show(text)}: {error}") from None


def _show(text: str) -> str:
    """A value within a line: strange or long ones quoted and cut."""
    return text if text.isprintable() and text.strip() == text != "" and len(text) <= 80 else repr(text[:60])


def identity(value: Any) -> Any:
    return value


# -- numbers and words
# ----------------------------------------------------------------------------------------------------


def whole(least: int, most: int, of: int = 1) -> Read:
    """Reads an int, a multiple of `of`."""
    kind = f"multiple of {of}" if of > 1 else "whole number"

    def read(text: str) -> int:
        value = int(text) if text.isascii() and text.lstrip("+-").isdigit() and len(text) <= 20 else None
        if value is None or not least <= value <= most or value % of:
            raise ValueError(f"give a {kind}, at least {least} and at most {most}")
        return value

    return read


def real(most: float, least: float = 0.0, above: bool = False) -> Read:
    """Reads a finite float."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most or (above and value == least):
            raise ValueError(f"give a number, {'above' if above else 'at least'} {least:g} and at most {most:g}")
        return value

    return read


def size(text: str) -> int | str:
    """A system's, by name, or the pixels of a backbone."""
    if text in SIZES:
        return text
    try:
        return int(whole(16, 4096, of=16)(text))
    except ValueError as error:
        raise ValueError(f"{error}, or choose from {', '.join(SIZES)}") from None


def choice(names: Sequence[str]) -> Read:
    """Reads one of some words."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"choose from {', '.join(names)}")
        return text

    return read


def words(text: str) -> str:
    if not text.strip():
        raise ValueError("say something, it is empty")
    return text


def renaming(text: str) -> str:
    name, _, theirs = text.partition("=")
    if not name.strip() or not theirs.strip():
        raise ValueError("write NAME=THEIRS, such as state=observation/state")
    return text


def part_name(text: str) -> str:
    """A folder's within another."""
    if not text.strip() or text in (".", "..") or "/" in text or len(os.fsencode(text)) > LONGEST_NAME:
        raise ValueError("give the name of a folder, without /")
    return text


def span(text: str) -> str:
    from presage.episodes.choose import parse_episodes

    parse_episodes(text)
    return text


def address(text: str) -> str:
    """A policy server's."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("ws", "wss") and parts.hostname is not None and host(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("give the address of a server, ws://HOST:PORT")
    return text


def host(text: str) -> str:
    """One that can be looked up: what no name is would be a UnicodeError of the resolver."""
    try:
        good = text.encode("idna") and not any(c.isspace() or not c.isprintable() for c in text)
    except UnicodeError:
        good = False
    if not good:
        raise ValueError("give a name or an address, such as 127.0.0.1")
    return text


# -- files and folders
# ----------------------------------------------------------------------------------------------------


def place(text: str) -> Path:
    """A path that the system can look up, whether something is there or not."""
    if not text.strip():
        raise ValueError("name a place, it is empty")
    try:
        Path(text).stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise ValueError(f"{error.strerror}; name another place") from None
    # What begins like an address, such as 10:30/run, is one to ffmpeg and pyarrow; beside what is called . or ..
    # nothing can be written.
    unclear = ":" in text.partition("/")[0] or Path(text).name in ("", "..")
    return Path(os.path.abspath(text)) if unclear else Path(text)


def folder(text: str) -> Path:
    if not place(text).is_dir():
        raise ValueError(f"{_what_is(Path(text))}: name a folder")
    return place(text)


def file(text: str) -> Path:
    if not place(text).is_file():
        raise ValueError(f"{_what_is(Path(text))}: name a file")
    return place(text)


def existing(text: str) -> Path:
    if not (place(text).is_file() or place(text).is_dir()):
        raise ValueError(f"{_what_is(Path(text))}: name a file or folder")
    return place(text)


def _what_is(path: Path) -> str:
    kinds = ((path.is_dir, "a folder"), (path.is_file, "a file"), (path.exists, "a device or a pipe"))
    return next((kind for holds, kind in kinds if holds()), "there is nothing")


def data(text: str) -> Path:
    """A dataset's folder, or what may be its name on the hub."""
    if place(text).exists():
        return folder(text)
    return Path(text)


def _output(text: str) -> Path:
    if len(os.fsencode(place(text).name)) > LONGEST_NAME:
        raise ValueError(f"choose a name of at most {LONGEST_NAME} bytes")
    return place(text)


def out_file(text: str) -> Path:
    check_writable(_output(text))
    return place(text)


def picture(text: str) -> Path:
    endings = (".png", ".jpg", ".pdf", ".svg")
    if not text.lower().endswith(endings):
        raise ValueError(f"end the name in one of {', '.join(endings)}")
    return out_file(text)


def out_folder(text: str) -> Path:
    """One that is there and can be written into, or that can be made."""
    path = folder(text) if _output(text).exists() else place(text)
    check_writable(path / "inside")
    return path


def new_folder(text: str) -> Path:
    check_new_folder(_output(text))
    return place(text)


# -- the types
# ------------------------------------------------------------------------------------------------------------

Seed = Annotated[int, one(whole(0, 2**32 - 1), "N")]
Count = Annotated[int, one(whole(1, BILLION), "N")]
MaybeCount = Annotated[int | None, one(whole(1, BILLION), "N")]
Natural = Annotated[int, one(whole(0, BILLION), "N")]
MaybeNatural = Annotated[int | None, one(whole(0, BILLION), "N")]
Port = Annotated[int, one(whole(0, 65535), "PORT")]
Processes = Annotated[int, one(whole(1, 1024), "N")]
Connections = Annotated[int, one(whole(1, 100_000), "N")]
MaybePixels = Annotated[int | None, one(whole(16, 4096), "PIXELS")]

Seconds = Annotated[float, one(real(86_400, above=True), "SECONDS")]
Distance = Annotated[float, one(real(1000), "X")]
MaybeDistance = Annotated[float | None, one(real(1000), "X")]
MaybeRate = Annotated[float | None, one(real(10_000, least=0.001), "HZ")]
Shares = Annotated[tuple[float, ...], several(real(BILLION, above=True), "SHARE", least=1)]
Weights = Annotated[tuple[float, ...], several(real(BILLION), "WEIGHT")]

Size = Annotated[int | str | None, one(size, "SIZE")]
Text = Annotated[str, one(words, "TEXT")]
MaybeText = Annotated[str | None, one(words, "TEXT")]
Use = Annotated[str, one(words, "USE")]
MaybeTask = Annotated[str | None, one(check_task, "TASK")]
Tasks = Annotated[tuple[str, ...], several(check_task, "TASK", least=1, key=identity)]
Cameras = Annotated[tuple[str, ...], several(words, "CAMERA", key=identity)]
Columns = Annotated[tuple[str, ...], several(words, "COLUMNS", key=identity)]
PartNames = Annotated[tuple[str, ...], several(part_name, "NAME", least=1, key=identity)]
Renamings = Annotated[tuple[str, ...], several(renaming, "NAME=THEIRS", key=lambda pair: pair.partition("=")[0])]
MaybeSpan = Annotated[str | None, one(span, "FROM:TO")]
Host = Annotated[str, one(host, "HOST")]
MaybeAddress = Annotated[str | None, one(address, "ws://HOST:PORT")]

MaybeFolder = Annotated[Path | None, one(folder, "DIR")]
MaybeFile = Annotated[Path | None, one(file, "FILE")]
Files = Annotated[tuple[Path, ...], several(file, "FILE", least=1)]
MaybeFiles = Annotated[tuple[Path, ...], several(file, "FILE", key=identity)]
Results = Annotated[tuple[Path, ...], several(existing, "RUN", least=1)]
Data = Annotated[Path, one(data, "DATA")]
MaybeData = Annotated[Path | None, one(data, "DATA")]
ManyData = Annotated[tuple[Path, ...], several(data, "DATA", least=1)]
OutFile = Annotated[Path, one(out_file, "FILE")]
MaybeOutFile = Annotated[Path | None, one(out_file, "FILE")]
MaybePicture = Annotated[Path | None, one(picture, "FILE")]
OutFolder = Annotated[Path, one(out_folder, "DIR")]
MaybeOutFolder = Annotated[Path | None, one(out_folder, "DIR")]
NewFolder = Annotated[Path, one(new_folder, "DIR")]


@dataclass(frozen=True, kw_only=True)
class Command:
    """The options every command has."""

    seed: Seed = 0
    """Everything random follows from it."""
    json: MaybeOutFile = None
    """File for the figures of this run, machine-readable."""
