"""Whether datasets can become one: what their columns and cameras mean has to be the same."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from presage.episodes import layout
from presage.episodes.dataset import Dataset
from presage.episodes.features import PICTURES, Feature, is_depth
from presage.episodes.lossless import holds_colours, info_block
from presage.episodes.metadata import read_json
from presage.episodes.robot import column_names
from presage.errors import UserError

OF_ENCODING = (
    *("height", "width", "codec", "pix_fmt", "fps", "channels", "g", "crf", "preset", "fast_decode"),
    *("extra_options", "video_backend", "video_encoder", "encoder_threads", "vcodec"),
)
"""What a camera's info says of its files, not of what they show."""
COUNTED = (
    *("codebase_version", "robot_type", "fps", "features", "splits", "data_path", "video_path", "chunks_size"),
    *("total_episodes", "total_frames", "total_tasks", "total_chunks", "total_videos"),
    *("data_files_size_in_mb", "video_files_size_in_mb"),
)
"""Fields of info.json that are written anew or have been compared."""
SUBTASKS = "meta/subtasks.parquet"


def is_picture(feature: Feature) -> bool:
    return feature["dtype"] in PICTURES


def is_no_colour(feature: Feature) -> bool:
    """Whether info.json says of a camera that it is no camera of 8-bit colours."""
    pix_fmt = (feature.get(info_block(feature)) or {}).get("video.pix_fmt")
    return is_depth(feature) or feature["shape"][-1] == 1 or (pix_fmt is not None and not holds_colours(pix_fmt))


def common_features(parts: Sequence[Dataset], notes: list[str]) -> dict[str, Feature]:
    """Features of all parts together; those that only some have are missing in the rows of the others.

    notes: gets a line for each thing that was taken for granted.

    Raises:
        UserError: rates, robots, cameras, or types, shapes, names or units of one feature differ.
    """
    first = parts[0]
    features: dict[str, Feature] = {}
    owners: dict[str, Path] = {}
    for part in parts:
        _check_robot(first, part)
        for name, feature in part.features.items():
            if name not in features:
                features[name], owners[name] = dict(feature), part.root
            elif name not in layout.DEFAULT_FEATURES:
                features[name] = _joined(name, features[name], owners[name], feature, part.root, notes)
    for part in parts:
        lacking = [n for n, f in features.items() if is_picture(f) and n not in part.features]
        if lacking:
            raise UserError(
                f"{part.root}: no camera {lacking[0]!r}, which another dataset has; join those of one robot"
            )
    _check_subtasks(parts)
    return features | layout.DEFAULT_FEATURES


def common_info(parts: Sequence[Dataset], notes: list[str]) -> dict[str, Any]:
    """Fields of info.json that only people know, of all parts together; where they differ those of the first."""
    info: dict[str, Any] = {}
    for part in parts:
        for key, value in read_json(part.root / "meta/info.json").items():
            if info.setdefault(key, value) != value and key not in COUNTED:
                notes.append(f"{part.root}: {key!r} of meta/info.json differs; that of {parts[0].root} was kept")
    return info


def _check_robot(first: Dataset, part: Dataset) -> None:
    if part.fps != first.fps:
        raise UserError(
            f"{part.root}: {part.fps:g} rows a second, {first.root} has {first.fps:g}; datasets of one rate can be "
            "joined, others can be trained on together (presage train --data A B)"
        )
    if part.robot_type and first.robot_type and part.robot_type != first.robot_type:
        raise UserError(
            f"{part.root}: robot_type is {part.robot_type!r}, {first.root} has {first.robot_type!r}; correct "
            "meta/info.json where it is one robot, or train on both (presage train --data A B)"
        )


def _joined(name: str, known: Feature, owner: Path, feature: Feature, root: Path, notes: list[str]) -> Feature:
    """What is known of a feature together with what another dataset says of it."""
    ours, theirs = (_type_and_shape(f) for f in (known, feature))
    if ours != theirs:
        raise UserError(f"{root}: {name!r} is {theirs}, elsewhere {ours}; datasets of one robot can be joined")
    if is_picture(known):
        _check_kind(name, known, owner, feature, root)
        block = info_block(known)
        meanings = [_meaning(f) for f in (known, feature)]
        _refuse_other_values(name, meanings[0], owner, meanings[1], root)
        known = {**known, block: {**meanings[1], **(known.get(block) or {})}} if meanings[1] else known
    else:
        known = {**known, "names": _joined_names(name, known, owner, feature, root, notes)}
    more = {
        key: value for key, value in feature.items() if key not in ("dtype", "shape", "names", "info", "video_info")
    }
    _refuse_other_values(name, known, owner, more, root)
    return {**more, **known}


def _type_and_shape(feature: Feature) -> str:
    return f"{feature['dtype']} {list(feature['shape'])}"


def _check_kind(name: str, known: Feature, owner: Path, feature: Feature, root: Path) -> None:
    if is_depth(known) != is_depth(feature):
        depth, other = (owner, root) if is_depth(known) else (root, owner)
        raise UserError(
            f"{root}: {name!r} is depth in {depth}, but not in {other}; correct is_depth_map in meta/info.json"
        )


def _meaning(feature: Feature) -> dict[str, Any]:
    """What a camera's info says of the pictures, not of their files; the levels of depth depend on the pixel format."""
    info = feature.get(info_block(feature)) or {}
    of_files = {*OF_ENCODING, "is_depth_map", "has_audio"} - ({"pix_fmt"} if is_depth(feature) else set())
    return {k: v for k, v in info.items() if k.removeprefix("video.") not in of_files and not k.startswith("audio.")}


def _refuse_other_values(name: str, known: dict[str, Any], owner: Path, other: dict[str, Any], root: Path) -> None:
    for key in known.keys() & other.keys():
        if known[key] != other[key]:
            raise UserError(
                f"{root}: {key!r} of {name!r} is {other[key]!r}, {owner} has {known[key]!r}; convert one of them, "
                "or correct meta/info.json"
            )


def _joined_names(name: str, known: Feature, owner: Path, feature: Feature, root: Path, notes: list[str]) -> Any:
    ours, theirs = known.get("names"), feature.get("names")
    same = json.dumps(ours) == json.dumps(theirs)  # the order within a mapping counts
    if same or not (ours and theirs):
        if not same and (ours or theirs):
            notes.append(
                f"{root if ours else owner}: {name!r} has no names; its numbers were taken for {ours or theirs}"
            )
        return ours or theirs
    read = [column_names(f, name) for f in (known, feature)]
    if read[0] != read[1] or read[0] == column_names({**known, "names": None}, name):
        raise UserError(
            f"{root}: {name!r} is {_listed(theirs)}, in {owner} {_listed(ours)}; join datasets of the "
            "same columns in the "
            "same order"
        )
    return ours


def _listed(names: Any) -> str:
    return str(names).replace("'", "").replace("\n", " ")


def _check_subtasks(parts: Sequence[Dataset]) -> None:
    """The rows' subtask_index counts within a file of its own."""
    holders = [part.root for part in parts if "subtask_index" in part.features]
    files = [root / SUBTASKS for root in holders if (root / SUBTASKS).is_file()]
    if len({file.read_bytes() for file in files}) > 1 or (files and len(files) < len(holders)):
        raise UserError(f"{files[-1]}: other subtasks than those of {holders[0]}; join datasets with the same subtasks")
