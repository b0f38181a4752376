"""Files in a dataset's folder that are not part of the format: a README, calibration, `meta/modality.json`."""

import filecmp
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from presage.episodes.dataset import Dataset

_META = re.compile(
    r"meta/(info\.json|stats\.json|tasks\.(parquet|jsonl)|episodes\.jsonl|episodes_stats\.jsonl|episodes/.*\.parquet)"
)
OWN_FOLDERS = (".cache", ".git")
"""At the top of a dataset: presage's cache, which is made again, and the history of a repository, which is not copied.
"""
INFO = Path("meta/info.json")

Visit = Callable[[Path], bool]


def format_folders(dataset: Dataset) -> set[str]:
    """Names of the folders at the top that hold files of the format."""
    return {"meta", "data", "videos", *(template.split("/")[0] for template in dataset.templates)}


def extra_files(dataset: Dataset, skip: Sequence[Path] = (), pictures: Iterable[str] = ()) -> list[Path]:
    """What the folder holds besides the format, relative to it, sorted: files, links, empty folders, datasets inside.

    skip: files and folders that are left out. pictures: files that the rows refer to.
    """
    outside = {path.absolute() for path in skip}
    known, named = _format_pattern(dataset), set(pictures)

    def part_of_format(path: Path) -> bool:
        return path.as_posix() in named or known(path.as_posix())

    return list(_walk(dataset.root, Path(), part_of_format, outside, format_folders(dataset)))


def orphans(dataset: Dataset) -> list[Path]:
    """Files of rows and videos that no episode lies in, relative to the folder."""
    template = _format_pattern(dataset, with_meta=False)
    everything = _walk(dataset.root, Path(), lambda path: False, set(), format_folders(dataset))
    return [
        p
        for p in everything
        if template(p.as_posix()) and not dataset.rows_in(p.as_posix()) and _holds_rows(dataset.root / p)
    ]


def shared_files(
    parts: Sequence[Dataset], skip: Sequence[Path] = (), pictures: dict[Path, set[str]] | None = None
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Extra files that all parts have alike, and (folder, file) of those that a new dataset cannot take from them.

    pictures: files that the rows of each folder refer to.
    """
    files = {part.root: extra_files(part, skip, (pictures or {}).get(part.root, ())) for part in parts}
    first = parts[0].root
    alike = [path for path in files[first] if all(_same(first / path, root / path) for root in files)]
    left = [(root, path.as_posix()) for root, paths in files.items() for path in paths if path not in alike]
    return alike, left + [(root, ".git") for root in files if (root / ".git").exists()]


def carry(root: Path, files: Iterable[Path], target: Path) -> None:
    """Copy files of the folder `root` to the same places in `target`: with their modes and times, links as links where
    they point inside the folder, empty folders too. What is there already is kept."""
    for path in files:
        source, place = root / path, target / path
        if os.path.lexists(place):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink() and (not source.exists() or source.is_dir() or _points_inside(source, root)):
            inside = not source.exists() or _points_inside(source, root)
            place.symlink_to(os.readlink(source) if inside else source.resolve())
        elif source.is_dir():
            place.mkdir()
            shutil.copystat(source, place)
        else:
            shutil.copy2(source, place)


def size_of(root: Path, files: Iterable[Path]) -> int:
    """Bytes of files of a folder."""
    return sum((root / path).stat().st_size for path in files if (root / path).is_file())


def _walk(root: Path, folder: Path, known: Visit, skip: set[Path], followed: set[str]) -> Iterator[Path]:
    """Files, links and empty folders inside; links to folders are followed where the format may lie behind them."""
    for entry in sorted(os.scandir(root / folder), key=lambda entry: entry.name):
        path = folder / entry.name
        if (root / path).absolute() in skip or path.as_posix() in OWN_FOLDERS or known(path):
            continue
        follow = path.parts[0] in followed and not _is_loop(root / path)
        if not entry.is_dir(follow_symlinks=follow):
            if entry.is_symlink() or entry.is_file():
                yield path
        elif not any(os.scandir(root / path)) or (root / path / INFO).exists():
            yield path
        else:
            yield from _walk(root, path, known, skip, followed)


def _is_loop(link: Path) -> bool:
    return link.is_symlink() and link.parent.resolve().is_relative_to(link.resolve())


def _holds_rows(path: Path) -> bool:
    try:
        return path.suffix != ".parquet" or pq.read_metadata(path).num_rows > 0
    except (pa.ArrowException, OSError):
        return True


def _format_pattern(dataset: Dataset, with_meta: bool = True) -> Callable[[str], bool]:
    """Whether a path is one that the format lays down."""
    cameras = "|".join(re.escape(name) for name, f in dataset.features.items() if f["dtype"] == "video") or "(?!)"
    patterns = [_META] if with_meta else []
    for template in dataset.templates:
        parts = re.split(r"(\{[^}]*\})", template)
        patterns.append(
            re.compile(
                "".join(
                    f"({cameras})" if p.startswith("{video_key") else r"\d+" if p[:1] == "{" else re.escape(p)
                    for p in parts
                )
            )
        )
    return lambda path: any(pattern.fullmatch(path) for pattern in patterns)


def _points_inside(link: Path, root: Path) -> bool:
    return link.resolve().is_relative_to(root.resolve()) and not os.path.isabs(os.readlink(link))


def _same(a: Path, b: Path) -> bool:
    if (a / INFO).exists():  # a dataset of its own, which is no part of this one
        return False
    if a.is_file() and b.is_file():
        return filecmp.cmp(a, b, shallow=False)
    return a.is_dir() and b.is_dir() or a == b
