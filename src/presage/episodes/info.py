"""meta/info.json, checked once: behind it every field has the kind that it should have."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from presage.episodes import layout
from presage.episodes.features import Feature, is_numeric, number, read_feature, whole
from presage.episodes.files import RESTORE, read_json
from presage.errors import UserError

_V2_DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_V2_VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
_RATES = (1e-3, 1e5)


@dataclass(frozen=True)
class Info:
    """What info.json says, by the names it has there."""

    version: str
    """v3.0, v2.1 or v2.0"""
    fps: float
    robot_type: str | None
    features: dict[str, Feature]
    data_path: str
    video_path: str
    videos: list[str]
    """Features whose frames are in videos."""
    chunks_size: int
    """Episodes in a folder of v2.x."""
    total_episodes: int | None
    total_frames: int | None


def read_info(root: Path, notes: list[str]) -> Info:
    """Read meta/info.json; what was read otherwise than written is added to `notes`.

    Raises:
        UserError: a field is missing or of the wrong kind, and nothing else tells what it should be.
    """
    path = root / "meta/info.json"
    info = read_json(path)
    if not isinstance(info, dict):
        raise UserError(f"{path}: not a JSON object; {RESTORE}")
    for name in ("codebase_version", "fps", "features"):
        if name not in info:
            raise UserError(f"{path}: field {name!r} is missing; {RESTORE}")
    version = "v" + str(info["codebase_version"]).removeprefix("v")
    if not version.startswith(("v3.", "v2.")):
        raise UserError(f"{path}: codebase_version is {version!r}; v3.0, v2.1 and v2.0 can be read, convert it")
    old = version.startswith("v2.")
    features = _read_features(info["features"], path, notes)
    said = info.get("chunks_size")
    chunks_size = layout.CHUNKS_SIZE if said is None else whole(said)
    if chunks_size is None or chunks_size < 1:
        raise UserError(f"{path}: chunks_size is {said!r}; write how many episodes a folder holds")
    robot = info.get("robot_type")
    if robot is not None and not isinstance(robot, str):
        notes.append(f"{path}: robot_type is {robot!r}, no text: left out")
    videos = [name for name, feature in features.items() if feature["dtype"] == "video"]
    video_path = _V2_VIDEO_PATH if old else layout.VIDEO_PATH
    if videos:
        video_path = _template(info, "video_path", video_path, path, notes, videos)
    if len(videos) > 1 and "{video_key" not in video_path:
        raise UserError(f"{path}: video_path {video_path!r} is one for all cameras; put {{video_key}} into it")
    return Info(
        version=version,
        fps=_read_fps(info["fps"], path),
        robot_type=robot if isinstance(robot, str) else None,
        features=features,
        data_path=_template(info, "data_path", _V2_DATA_PATH if old else layout.DATA_PATH, path, notes),
        video_path=video_path,
        videos=videos,
        chunks_size=chunks_size,
        total_episodes=whole(info.get("total_episodes")),
        total_frames=whole(info.get("total_frames")),
    )


def _read_fps(value: Any, path: Path) -> float:
    fps = number(value)
    if fps is None or not _RATES[0] <= fps <= _RATES[1]:
        raise UserError(f"{path}: fps is {value!r}; write how many rows a second were recorded")
    return fps


def _read_features(value: Any, path: Path, notes: list[str]) -> dict[str, Feature]:
    if not isinstance(value, dict):
        raise UserError(f"{path}: features is not an object of name and description; restore the file")
    features = {name: read_feature(name, raw, str(path)) for name, raw in value.items()}
    for name, usual in layout.DEFAULT_FEATURES.items():
        if name in features and not is_numeric(features[name]):
            notes.append(f"{path}: {name!r} is {features[name]['dtype']!r}; it is read as {usual['dtype']}")
            features[name] = dict(usual)
    return features


def _template(
    info: dict[str, Any], name: str, usual: str, path: Path, notes: list[str], keys: Sequence[str] = ("",)
) -> str:
    """The path of a data or video file with placeholders; the usual one where none is given."""
    text = info.get(name)
    if not text:
        notes.append(f"{path}: {name} is missing; files are looked for at {usual}")
        return usual
    places = [
        {"episode_chunk": 0, "episode_index": i, "chunk_index": 0, "file_index": i, "video_key": key}
        for key in keys
        for i in (0, 1)
    ]
    try:
        first, second, *more = (text.format(**place) for place in places)
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: {name} is {text!r}, which cannot be filled in; the usual one is {usual}") from error
    if any(_leads_outside(place) for place in (first, *more)):
        raise UserError(f"{path}: {name} is {text!r}, outside the dataset; the usual one is {usual}")
    if first == second and usual in (_V2_DATA_PATH, _V2_VIDEO_PATH):
        raise UserError(f"{path}: {name} is {text!r}, one file for all episodes; the usual one is {usual}")
    return text


def _leads_outside(place: str) -> bool:
    path = PurePosixPath(place)
    return path.is_absolute() or ".." in path.parts or "\0" in place
