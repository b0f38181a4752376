"""Datasets on the Hugging Face hub: `hf://user/name`, `hf://user/name@revision`, or `user/name` where no such folder
is.

The meta folder comes first; then only the files that hold the wanted episodes. Everything lands in the hub's own cache
(HF_HOME), so that nothing is fetched twice and other tools share it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from presage.episodes.dataset import Dataset
from presage.errors import UserError


@dataclass(frozen=True)
class Repository:
    name: str
    """user/name"""
    revision: str | None = None
    """Branch, tag or commit; the default branch if None."""


def hub_name(source: str | Path) -> Repository | None:
    """The repository that a text names, or None where it can only be a folder."""
    text = str(source)
    explicit = re.match(r"hf:/{1,2}", text)  # a path of `hf://user/name` has lost one of its slashes
    text = text[explicit.end() :] if explicit else text
    match = re.fullmatch(r"([A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*)(?:@([\w.\-/]+))?", text)
    if match is None and explicit:
        raise UserError(f"{source}: not a dataset of the hub; write hf://user/name or hf://user/name@revision")
    return Repository(match[1], match[2]) if match else None


def hub_snapshot(root: Path) -> str | None:
    """`user--name`, where a folder is what the hub's cache keeps of a commit of that dataset; None: it is not."""
    *_, kept, snapshots, _ = ("", "", "", *root.resolve().parts)
    return kept.removeprefix("datasets--") if snapshots == "snapshots" and kept.startswith("datasets--") else None


def download(repository: Repository, episodes: Sequence[int] | None = None) -> Path:
    """Fetch a dataset, or the files of some of its episodes, and return its folder.

    Raises:
        UserError: huggingface_hub is not installed, the hub cannot be reached, or there is no such dataset.
    """
    root = _fetch(repository, ["meta/*"])
    if not (root / "meta/info.json").exists():
        raise UserError(f"hf://{repository.name}: no meta/info.json in it; it is not a LeRobot dataset")
    if episodes is None:
        return _fetch(repository, ["meta/*", "data/*", "videos/*"])
    chosen = Dataset(root, episodes).episodes
    files = {record.data_file for record in chosen} | {path for record in chosen for path, _ in record.videos.values()}
    return _fetch(repository, ["meta/*", *sorted(files)])


def _fetch(repository: Repository, patterns: list[str]) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HTTPError, RepositoryNotFoundError, RevisionNotFoundError
    except ImportError:
        raise UserError("datasets of the hub need huggingface_hub: pip install 'presage[hub]'") from None
    try:
        return Path(
            snapshot_download(
                repository.name, repo_type="dataset", revision=repository.revision, allow_patterns=patterns
            )
        )
    except RepositoryNotFoundError:
        raise UserError(
            f"{repository.name}: no such folder here, and no such dataset on the hub, or it is private (hf auth login)"
        ) from None
    except RevisionNotFoundError:
        raise UserError(
            f"hf://{repository.name}: no revision {repository.revision!r}; name a branch, tag or commit"
        ) from None
    except (HTTPError, OSError) as error:
        raise UserError(
            f"{repository.name}: no such folder here, and the hub cannot be reached "
            f"({str(error).splitlines()[0]}); name a folder, or check the network"
        ) from None
