"""Everything worth knowing about a dataset before training on it, and everything that is wrong with it.

Damage does not stop a survey: it is listed with the file and what to do. Only a dataset whose episodes cannot be found
is refused.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from presage.episodes.clock import lacks_unseen, rate_of
from presage.episodes.dataset import Dataset
from presage.episodes.features import PICTURES, is_readable
from presage.episodes.labels import add_labels
from presage.episodes.metadata import EpisodeRecord
from presage.episodes.naming import column_names, find_grippers, look_alikes, numeric_features
from presage.episodes.outcome import episode_success
from presage.episodes.splice import Source
from presage.episodes.video import decode_spans
from presage.errors import UserError

BINS = 24
MOST_NUMBERS = 64
"""Numbers of one feature that are looked at."""
TOLERANCE_S = 1e-4
"""Seconds that a timestamp may be off, as in LeRobot."""


@dataclass(frozen=True)
class Number:
    """One number of a feature over all rows."""

    name: str
    low: float
    high: float
    mean: float
    q01: float
    q99: float
    histogram: list[int]
    """Counts in BINS equal bins from `low` to `high`."""
    is_gripper: bool


@dataclass(frozen=True)
class Feature:
    name: str
    dtype: str
    shape: list[int]
    numbers: list[Number]
    missing: int
    """Rows in which it was not recorded."""


@dataclass(frozen=True)
class Camera:
    name: str
    width: int
    height: int
    codec: str
    bytes: int
    """Size of its videos on disk; 0 for images inside the data files."""


@dataclass
class Survey:
    dataset: Dataset
    cameras: list[Camera] = field(default_factory=list)
    features: list[Feature] = field(default_factory=list)
    instructions: list[tuple[str, int]] = field(default_factory=list)
    """(instruction, episodes), most frequent first."""
    success: tuple[int, int] | None = None
    """(successful episodes, episodes of which it is known)."""
    gaps: list[str] = field(default_factory=list)
    """Irregular timestamps and missing frames, one line for an episode."""
    notes: list[str] = field(default_factory=list)
    """What was read otherwise than it is written, one line each."""
    unread: list[str] = field(default_factory=list)
    """Features that are listed and carried along, but not read: depth maps, lists of varying length, objects."""
    damage: list[str] = field(default_factory=list)
    """One line for a file: what is wrong and what to do."""


def survey(root: Path, chosen: list[int] | None = None, full: bool = False) -> Survey:
    """Look at a dataset. `full` decodes every frame instead of one in every video file.

    Raises:
        UserError: its episodes cannot be found: info.json or meta/episodes is missing or damaged.
    """
    tolerated: list[UserError] = []
    dataset = Dataset(root, chosen, tolerated)
    found = Survey(dataset, notes=list(dataset.notes), damage=[str(error) for error in tolerated])
    try:
        add_labels(dataset)
    except UserError as error:
        found.damage.append(str(error))
    found.unread = _not_read(dataset)
    told = Counter(episode.instruction.strip() or "(none)" for episode in dataset.episodes)
    found.instructions = told.most_common()
    found.success = _count_success(found)
    for name in tqdm(numeric_features(dataset), desc="columns", unit="column"):
        found.features.append(_look_at_numbers(found, name))
    for camera, name in dataset.camera_features.items():
        found.cameras.append(_look_at_camera(found, camera, name, full))
    found.damage = list(dict.fromkeys(found.damage))
    return found


def _not_read(dataset: Dataset) -> list[str]:
    cameras = set(dataset.camera_features.values())
    columns = {
        name: f["dtype"] for name, f in dataset.features.items() if f["dtype"] not in PICTURES and not is_readable(f)
    }
    depth = {name: "depth" for name, f in dataset.features.items() if f["dtype"] in PICTURES and name not in cameras}
    return [f"{name} ({what})" for name, what in (columns | depth).items()]


def _count_success(found: Survey) -> tuple[int, int] | None:
    try:
        known = [success for success in episode_success(found.dataset) if success is not None]
    except UserError as error:
        found.damage.append(str(error))
        return None
    return (sum(known), len(known)) if known else None


def _look_at_numbers(found: Survey, name: str) -> Feature:
    dataset, feature = found.dataset, found.dataset.features[name]
    parts, missing = [], 0
    for file, group in dataset.data_files():
        records = list(group)
        try:
            values, recorded = dataset.read_file(file, records, name)
        except UserError as error:
            found.damage.append(str(error))
            continue
        flat = values.reshape(len(values), -1)[:, :MOST_NUMBERS].astype(np.float64)
        missing += int((~recorded).sum())
        finite: np.ndarray = np.isfinite(flat).all(axis=1)  # type: ignore[assignment]
        for record, rows in _by_episode(records):
            bad = np.flatnonzero(~finite[rows] & recorded[rows])
            if len(bad):
                found.damage.append(
                    f"{dataset.root / file}: column {name!r} is NaN or infinite in {len(bad)} rows of episode "
                    f"{record.index}, first in row {bad[0]}; leave the episode out (presage dataset "
                    "filter) or repair it"
                )
            if name in ("timestamp", "frame_index"):
                found.gaps += _irregular(name, flat[rows, 0], record, dataset.fps)
        parts.append(flat[finite & recorded])
    whole = np.concatenate(parts) if parts else np.empty((0, 0))
    names = column_names(feature, name)[:MOST_NUMBERS]
    jumps = whole if name in look_alikes(dataset, "action") and len(whole) else None
    grippers = find_grippers(names, jumps)
    numbers = [_number(n, whole[:, i], grippers[i]) for i, n in enumerate(names)] if len(whole) else []
    return Feature(name, feature["dtype"], list(feature["shape"]), numbers, missing)


def _by_episode(records: list[EpisodeRecord]) -> list[tuple[EpisodeRecord, slice]]:
    ends = np.cumsum([record.length for record in records])
    return [(record, slice(end - record.length, end)) for record, end in zip(records, ends)]


def _irregular(name: str, values: np.ndarray, record: EpisodeRecord, fps: float) -> list[str]:
    """A line when rows of an episode are not evenly spaced in time, or not numbered one by one."""
    step, tolerance = (1 / fps, TOLERANCE_S) if name == "timestamp" else (1.0, 0.5)
    apart = np.diff(values)
    bad = np.flatnonzero(np.abs(apart - step) > tolerance)
    if not len(bad):
        return []
    unit = " s" if name == "timestamp" else ""
    return [
        f"episode {record.index}: {name} jumps {len(bad)} times, first behind row {bad[0]} by "
        f"{apart[bad[0]]:.4g}{unit} "
        f"instead of {step:.4g}{unit}"
    ]


def _number(name: str, values: np.ndarray, is_gripper: bool) -> Number:
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, BINS, (low, high if high > low else low + 1))
    q01, q99 = np.quantile(values, [0.01, 0.99])
    return Number(name, low, high, float(values.mean()), float(q01), float(q99), counts.tolist(), is_gripper)


def _look_at_camera(found: Survey, camera: str, name: str, full: bool) -> Camera:
    dataset, feature = found.dataset, found.dataset.features[name]
    height, width = feature["shape"][:2]
    if feature["dtype"] == "image":
        for position in range(len(dataset.episodes)) if full else [0]:
            try:
                seen = dataset.frames(position, camera).shape[1:3]
                if seen != (height, width):
                    found.damage.append(
                        _other_size(dataset.root / dataset.episodes[position].data_file, seen, name, feature)
                    )
            except UserError as error:
                found.damage.append(str(error))
        return Camera(camera, width, height, "images", 0)
    size, codecs = 0, Counter[str]()
    files = groupby(dataset.episodes, key=lambda record: record.videos[name][0])
    for file, group in tqdm(files, desc=camera, unit="video"):
        path, records = dataset.root / file, list(group)
        try:
            shown = dataset.shown_in(file, name)
            source = Source(path, dataset.fps, shown)
            codec, wide, high, _ = source.header
            codecs[codec] += 1
            size += path.stat().st_size
            if (wide, high) != (width, height):
                found.damage.append(_other_size(path, (high, wide), name, feature))
            _note_rate(found, source, path)
            unseen = lacks_unseen(shown, source.seconds)
            if unseen:
                found.gaps.append(f"{path}: {unseen}")
            dataset.check_overlap(file, name)
            whole = [record for record in records if _has_all_frames(found, source, record, camera, name)]
            spans = [(record.videos[name][1], record.length) for record in whole]
            spans = spans if full else [(start, 1) for start, _ in spans[:1]]
            for _ in decode_spans(path, spans, dataset.fps, lambda image: image[:1, :1], shown):
                pass
        except UserError as error:
            found.damage.append(str(error))
    return Camera(camera, width, height, ", ".join(codecs) or "unreadable", size)


def _other_size(path: Path, seen: tuple[int, ...], name: str, feature: dict[str, Any]) -> str:
    height, width = feature["shape"][:2]
    return (
        f"{path}: pictures are {seen[1]} x {seen[0]}, meta/info.json says {width} x {height}; "
        f"correct 'shape' of {name!r} or re-encode (presage dataset reencode)"
    )


def _note_rate(found: Survey, source: Source, path: Path) -> None:
    rate, fps = rate_of(np.sort(source.seconds)), found.dataset.fps
    differs = rate is not None and abs(rate / fps - 1) > (0.0005 if source.counted else 0.002)
    if differs:
        how = "; frames are counted" if source.counted else ""
        found.notes.append(f"{path}: {rate:.4g} frames a second, meta/info.json says fps {fps:g}{how}")
    elif source.counted:
        found.notes.append(f"{path}: episodes do not begin where meta/ says; frames are counted")


def _has_all_frames(found: Survey, source: Source, record: EpisodeRecord, camera: str, name: str) -> bool:
    begin = round(record.videos[name][1] * found.dataset.fps)
    inside = (source.frames >= begin) & (source.frames < begin + record.length)
    there = len(np.unique(source.frames[inside]))
    if there < record.length:
        found.gaps.append(f"episode {record.index}: camera {camera!r} has {there} of {record.length} frames")
    return there == record.length
