"""What a state was made from, so that a run goes on with exactly that or not at all.

A fingerprint is a plain dict of entries. Each holds a short value as it is or the hash of a long one, which are
compared, and the words by which people know it. Names of folders are in the words alone: data may be moved.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from presage.episodes.dataset import Dataset
from presage.episodes.disk import file_hash
from presage.episodes.files import read_cells
from presage.episodes.pictures import picture_source
from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.networks.world_model import WorldModel
from presage.training.data import Rows, codec_fingerprint
from presage.training.pictures import Pictures

SHORT = 60
"""Characters of a value that is shown; a longer one is hashed."""
OPTIONS = ("action", "cameras", "chunk", "fit", "fps", "lora", "relative", "seed", "state")
"""Fields that are options of `presage train`."""
NO_MATTER = ("save_every", "log_every", "backbone")
"""Fields that change no number; a backbone's files have a hash of their own in the model's configuration."""
ROWS = {
    "action": "actions",
    "action_valid": "valid actions",
    "state": "states",
    "value": "success",
    "value_valid": "success",
    "instruction": "instructions",
    "start": "episodes",
    "length": "episodes",
}
"""Words for arrays of `Rows`."""


class Entry(NamedTuple):
    """Something that the numbers of a training follow from."""

    value: str
    """As it is, or its hash, which begins with #."""
    words: str


Fingerprint = dict[str, Entry]


def hash_of(value: Any) -> str:
    """Of arrays, tensors, paths of files, dataclasses, mappings of them, and whatever is JSON."""
    digest = hashlib.sha256()
    _feed(digest, value)
    return f"#{digest.hexdigest()[:16]}"


def _feed(digest: "hashlib._Hash", value: Any) -> None:
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Pictures):
        value = value[:]
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype} {tuple(value.shape)} ".encode())
        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if isinstance(value, Mapping):
        for name in sorted(value):
            digest.update(f"{name}: ".encode())
            _feed(digest, value[name])
    elif isinstance(value, np.ndarray | np.generic):
        digest.update(f"{value.dtype} {value.shape} ".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    else:
        text = file_hash(value) if isinstance(value, Path) else json.dumps(value, default=_text)
        digest.update(f"{text}\n".encode())


def _text(value: Any) -> str:
    """What JSON has no form for. An array's text leaves out its middle, so it stands for nothing.

    Raises:
        TypeError: it is an array, or its text is where it lies.
    """
    if isinstance(value, np.ndarray | Tensor | Pictures):
        raise TypeError("arrays inside a list are not hashed: give a mapping of them")
    return telling(str(value))


def entry(words: str, value: Any) -> Entry:
    """`value`, which is JSON, as it is where it is short."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return Entry(text if len(text) <= SHORT else hash_of(value), words)


def described(value: Any, around: tuple[int, ...] = ()) -> str:
    """A value in words that are the same in every process: dataclasses by class and fields, functions by name and by
    what they close over, a function with a memory as if it had none, networks by class.

    Raises:
        TypeError: its text is where it lies, and says nothing else.
    """
    if id(value) in around:
        return "itself"
    inner = partial(described, around=(*around, id(value)))
    if isinstance(getattr(value, "fingerprint", None), str):  # recorded data
        return f"{type(value).__qualname__}({value.fingerprint})"
    if is_dataclass(value) and not isinstance(value, type):
        return _called(type(value).__qualname__, {f.name: getattr(value, f.name) for f in fields(value)}, inner)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {inner(x)}" for name, x in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(inner(x) for x in value) + "]"
    if isinstance(value, np.ndarray | Tensor | Pictures):
        return hash_of(value)
    if isinstance(value, nn.Module):
        return type(value).__qualname__
    if isinstance(value, partial):
        return f"{inner(value.func)}({inner(value.args)}, {inner(value.keywords)})"
    if inspect.ismethod(value):
        return f"{inner(value.__self__)}.{value.__name__}"
    if callable(value):
        function = inspect.unwrap(value)
        return _called(f"{function.__module__}.{function.__qualname__}", closed_over(function), inner)
    return telling(repr(value))


def _called(name: str, parts: Mapping[str, Any], inner: Callable[[Any], str]) -> str:
    said = ", ".join(f"{key}={inner(x)}" for key, x in parts.items())
    return f"{name}({said})" if parts else name


def closed_over(function: Callable[..., Any]) -> dict[str, Any]:
    """Name -> what a function closes over: two that one factory made differ in nothing else."""
    cells = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    return {name: cell.cell_contents for name, cell in zip(names, cells, strict=True)}


def telling(text: str) -> str:
    """The text of a value.

    Raises:
        TypeError: it is where the value lies.
    """
    if " at 0x" in text:
        raise TypeError(f"what tells {text} from others of its kind?")
    return text


def settings(training: Any, **words: str) -> Fingerprint:
    """The fields of a training's configuration, one by one."""
    values = {f.name: getattr(training, f.name) for f in fields(training) if f.name not in NO_MATTER}
    said = {name: described(value) if is_dataclass(value) else value for name, value in values.items()}
    return {name: entry(words.get(name, _option(name)), value) for name, value in said.items()}


def of_dataset(number: int, path: Path, dataset: Dataset, robot: Robot | None, cameras: Sequence[str]) -> Fingerprint:
    """What is known before any row is encoded: the episodes, what they show and are called, and the robot.

    dataset: as it was recorded, of the chosen episodes. cameras: those that are read where no robot says it.
    """
    used = sorted({c for sources in robot.cameras.values() for c in sources}) if robot else cameras
    shown = {c: _pictures(dataset, dataset.camera_features[c]) for c in used if c in dataset.camera_features}
    made = {
        "episodes": Entry(hash_of([[e.index, e.length] for e in dataset.episodes]), f"episodes of {path}"),
        "rate": entry(f"rows per second of {path}", dataset.fps),
        "instructions": Entry(hash_of([e.instruction for e in dataset.episodes]), f"instructions of {path}"),
        "tasks": Entry(
            hash_of([[e.info.get(k) for k in ("task", "seed")] for e in dataset.episodes]), f"tasks of {path}"
        ),
        "pictures": Entry(hash_of(shown), f"pictures of {path}"),
    }
    if dataset.labels:
        made["labels"] = Entry(hash_of(sorted(dataset.labels.items())), f"labels of {path}")
    for name, value in (asdict(robot) if robot else {}).items():
        made[f"robot.{name}"] = entry(f"{_option(name)} of {path}", value)
    return {f"{number}.{name}": value for name, value in made.items()}


def of_rows(number: int, path: Path, rows: Rows) -> Fingerprint:
    """Every array that training reads; frames follow from the pictures and the codec, texts from the instructions."""
    arrays = [f.name for f in fields(rows) if f.name not in ("latents", "text", "dreams")]
    return {
        f"{number}.rows.{name}": Entry(hash_of(getattr(rows, name)), f"{ROWS.get(name, name)} of {path}")
        for name in arrays
    }


def of_model(model: WorldModel) -> Fingerprint:
    """Its configuration and its codecs; not the network, which is either fresh or of a checkpoint."""
    made = {f"model.{name}": entry(_option(name), value) for name, value in _flat(asdict(model.config)).items()}
    scales = [asdict(codec) for codec in (model.action_codec, model.state_codec)]
    made["model.scales"] = Entry(hash_of(scales), "scales of actions and states")
    made["model.image_codec"] = Entry(f"#{codec_fingerprint(model)[:16]}", "weights of the image codec")
    return made


def of_parts(model: WorldModel, trained: Sequence[str]) -> Fingerprint:
    """The weights of those parts that were trained just now, and that others read."""
    reader = model.reader if any(s.derive is not None for s in model.streams) else None
    parts: dict[str, nn.Module | None] = {
        "state_dynamics": model.state_dynamics,
        "renderer": model.renderer,
        "reader": reader,
    }
    return {
        f"part.{name}": Entry(hash_of(part.state_dict()), f"weights of the {name}")
        for name, part in parts.items()
        if name in trained and part is not None
    }


def require_same(made: Fingerprint, now: Fingerprint, folder: Path) -> None:
    """Go on only with what `folder` was made from.

    Raises:
        UserError: something differs; the line says what, and of what follows from each other the first.
    """
    gone = Entry("none", "")
    pairs = [(made.get(name, gone), now.get(name, gone)) for name in {**now, **made}]
    changed = [(old, new) for old, new in pairs if old.value != new.value]
    if not changed:
        return
    plain = [f"{new.words or old.words} {old.value}, now {new.value}" for old, new in changed if not _hashed(old, new)]
    other = [f"other {new.words or old.words}" for old, new in changed if _hashed(old, new)]
    what = f"with {'; '.join(plain[:3])}" if plain else f"from {other[0]}"
    raise UserError(f"{folder} was made {what}: give the run another --out, or remove {folder}")


def to_text(made_from: Fingerprint) -> str:
    return json.dumps(made_from)


def from_text(text: str | None, path: Path) -> Fingerprint:
    """The inverse of `to_text`.

    Raises:
        UserError: there is none: `path` was written before states had one.
    """
    if text is None:
        raise UserError(
            f"{path} is of an older presage and does not say what it was made from: give the run another "
            "--out, or remove "
            f"{path.parent}"
        )
    return {name: Entry(*value) for name, value in json.loads(text).items()}


def _hashed(old: Entry, new: Entry) -> bool:
    return old.value.startswith("#") or new.value.startswith("#")


def _option(name: str) -> str:
    return f"--{name}" if name in OPTIONS else name


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Fields of fields as `outer.inner`."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{prefix}{name}.")
        elif name not in NO_MATTER:
            out[prefix + name] = value
    return out


def _pictures(dataset: Dataset, feature: str) -> dict[str, Any]:
    """The bytes that the pictures of a camera are decoded from, and where each episode begins in them."""
    if dataset.features[feature]["dtype"] == "video":
        files = sorted({e.videos[feature][0] for e in dataset.episodes})
        begins = [[files.index(e.videos[feature][0]), e.videos[feature][1]] for e in dataset.episodes]
        return {"begins": begins, "files": [file_hash(dataset.root / file) for file in files]}
    digest = hashlib.sha256()
    for record in dataset.episodes:
        path = dataset.root / record.data_file
        for cell in read_cells(path, feature, record.data_row, record.length):
            _feed_picture(digest, cell, dataset.root, path)
    return {"images": digest.hexdigest()}


def _feed_picture(digest: "hashlib._Hash", cell: Any, root: Path, data_file: Path) -> None:
    try:
        source = picture_source(cell, root, data_file)
    except UserError:  # whoever decodes it says where it is missing
        source = b""
    digest.update(hashlib.sha256(source).digest() if isinstance(source, bytes) else file_hash(source).encode())
