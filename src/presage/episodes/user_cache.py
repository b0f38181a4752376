"""The user's cache folder: what presage can make again."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from presage.errors import UserError


def cache_folder() -> Path:
    """Where presage keeps what it can make again: `$XDG_CACHE_HOME/presage`, by default `~/.cache/presage`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "presage"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time is inside for a path; others wait. The lock is the file PATH.lock, and the system
    releases it when its process is killed.

    Raises:
        UserError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.with_name(f"{path.name}.lock"), "w")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; set XDG_CACHE_HOME to a writable folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that works on {path.name}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
