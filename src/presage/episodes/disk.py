"""Room on the disk, asked for before the work that would fill it, and what files hold."""

import hashlib
import shutil
from functools import cache
from pathlib import Path

from presage.errors import UserError

RESERVE = 512 * 1024 * 1024
"""Bytes that stay free: a disk filled to the last byte takes other programs down."""


def require_space(place: Path, needed: int, what: str) -> None:
    """Raise UserError when `needed` bytes would not fit where `place` is going to be written."""
    folder = place.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed + RESERVE > free:
        raise UserError(
            f"{place}: {what} needs {show_bytes(needed)} and {show_bytes(RESERVE)} have to stay free, but only "
            f"{show_bytes(free)} are; free space or choose another disk"
        )


def show_bytes(count: float) -> str:
    """`1.5 GB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if count >= 100 or unit == "B" else f"{count:.1f} {unit}"


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes: half a second a GiB, once per process. Size and modification time would not do, since
    whoever edits a file can keep both.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        entry = path.stat()
        return _hash(path, entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns)
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; restore it or leave its episodes out (--episodes)") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); restore the file") from None


@cache
def _hash(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
