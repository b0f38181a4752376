"""Put episodes behind those of a dataset, in its own folder."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from presage.episodes.belongings import carry, extra_files, format_folders
from presage.episodes.dataset import Dataset
from presage.episodes.edit import Written, write_episodes
from presage.errors import UserError

NEW, OLD, DONE = ".append.new", ".append.old", ".append.done"
"""Hidden folders in the dataset while it grows: what takes the place of the old one, the old one while the two are
exchanged, and the old one afterwards."""


def append_episodes(into: Path, others: Sequence[Dataset]) -> Written:
    """Write the dataset `into` anew with the episodes of `others` behind its own.

    The folder stays, and with it everything that is not part of the format. The old files give way when the new ones
    are whole. What a killed exchange left behind is put back by the next call.

    Raises:
        UserError: the datasets do not fit together, something of `into` would be lost, or the folder cannot be written.
    """
    into = into.resolve()
    try:
        _tidy(into)
        return _append(Dataset(into), others)
    except OSError as error:
        raise UserError(f"{into}: cannot be written ({error.strerror or error}); make the folder writable") from error
    finally:
        shutil.rmtree(into / NEW, ignore_errors=True)
        shutil.rmtree(into / DONE, ignore_errors=True)


def _append(whole: Dataset, others: Sequence[Dataset]) -> Written:
    into, new = whole.root, whole.root / NEW
    if any(other.root.resolve() == into for other in others):
        raise UserError(f"{into}: is the dataset itself; append another one")
    written = write_episodes([whole, *others], new, with_files=False)
    lost = [what for root, what in written.left if root == into]
    if lost:
        raise UserError(f"{into}: {lost[0]} would be lost; move it elsewhere, or merge into a new folder")
    folders = format_folders(whole)
    carry(into, [path for path in extra_files(whole) if path.parts[0] in folders], new)
    _exchange(into, sorted(folders - {"meta"}))
    return written


def _exchange(into: Path, folders: Sequence[str]) -> None:
    """The new folders in the place of the old ones; without meta in between, so that nobody reads a mixture."""
    new, old = into / NEW, into / OLD
    old.mkdir()
    try:
        for name in ("meta", *folders):
            if os.path.lexists(into / name):
                os.rename(into / name, old / name)
        for name in (*folders, "meta"):
            if (new / name).exists():
                os.rename(new / name, into / name)
    except BaseException:
        _tidy(into)
        raise
    os.rename(old, into / DONE)


def _tidy(into: Path) -> None:
    """Put back what an exchange that did not come to its end left behind."""
    if (into / OLD).is_dir():
        for path in (into / OLD).iterdir():
            if os.path.lexists(into / path.name):
                shutil.rmtree(into / path.name)
            os.rename(path, into / path.name)
        (into / OLD).rmdir()
    shutil.rmtree(into / NEW, ignore_errors=True)
    shutil.rmtree(into / DONE, ignore_errors=True)
