"""A LeRobotDataset on disk, read only: v3.0 and v2.x."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from presage.episodes.clock import Shown, overlapping
from presage.episodes.columns import column_values
from presage.episodes.features import PICTURES, is_camera, is_readable
from presage.episodes.files import LEAVE_OUT, column_names, footer, read_cells, read_table
from presage.episodes.fit import squares
from presage.episodes.layout import CAMERA_PREFIX
from presage.episodes.metadata import EpisodeRecord, Metadata, read_metadata
from presage.episodes.pictures import decode_picture, is_deep
from presage.episodes.video import Convert, VideoReader, decode_frames, decode_spans
from presage.errors import UserError


class Dataset:
    """A LeRobotDataset folder.

    fps: rows per second. cameras: camera names without the ``observation.images.`` prefix. camera_features: camera ->
    name of its feature. features: info.json's features, pictures in height, width, channels. stats: feature -> {mean,
    std, min, max, count, quantiles}, of those that have usable ones. tasks: text of each task_index. episodes: one
    EpisodeRecord each, by number. num_rows: rows N of all episodes together. notes: what was read otherwise than it is
    written. labels: number of an episode -> its outcome, where a person told it (`labels.py`).

    chosen: numbers of the episodes to read, all by default; the files of others need not be there. Rows are then
    counted within the chosen episodes, whose ``index`` stays the number in the whole dataset. tolerated: where given,
    damage that leaves other episodes readable is put there instead of being raised, and the episodes that it hits are
    left out.

    Wherever a method takes an ``episode`` it is a position in ``episodes``, not a number.

    Raises UserError, one line naming file, field and remedy, whenever a file is missing or damaged.
    """

    phases = 1
    """Consecutive episodes that show the same frames; more than one in views that regroup rows."""

    def __init__(self, root: str | Path, chosen: Sequence[int] | None = None, tolerated: list[UserError] | None = None):
        self.root = Path(root)
        metadata = read_metadata(self.root, chosen)
        self.version, self.fps, self.robot_type = metadata.info.version, metadata.info.fps, metadata.info.robot_type
        self.features: dict[str, dict[str, Any]] = metadata.info.features
        self.templates = [metadata.info.data_path, *([metadata.info.video_path] if metadata.info.videos else [])]
        """Paths of data and video files, with placeholders."""
        self.stats, self.tasks, self.notes = metadata.stats, metadata.tasks, metadata.notes
        self.view = "" if chosen is None else f"episodes {list(chosen)}"
        """Which part or arrangement of the files this is; part of the names of caches."""
        self._all_episodes = metadata.episodes
        if tolerated is None:
            _refuse_damage(metadata, self.root, chosen)
        else:
            tolerated += [*metadata.unread, *(UserError(f"{why}; {LEAVE_OUT}") for why in metadata.lost.values())]
            chosen = None if chosen is None else [number for number in chosen if number not in metadata.lost]
        if tolerated and not (metadata.episodes if chosen is None else chosen):
            raise tolerated[0]
        self.episodes = metadata.episodes if chosen is None else _choose(metadata.episodes, chosen, self.root)
        self._in_file: dict[str, list[EpisodeRecord]] = {}
        for episode in self.episodes:
            self._in_file.setdefault(episode.data_file, []).append(episode)
        self._file_rows: dict[str, int] = {}
        for episode in metadata.episodes:
            for file in (episode.data_file, *(video for video, _ in episode.videos.values())):
                self._file_rows[file] = self._file_rows.get(file, 0) + episode.length
        self.num_rows = sum(episode.length for episode in self.episodes)
        self.camera_features = {
            name.removeprefix(CAMERA_PREFIX): name
            for name, feature in self.features.items()
            if self._is_camera(name, feature)
        }
        self.cameras = list(self.camera_features)
        self.labels: dict[int, bool] = {}
        self._columns: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._checked: set[str] = set()
        self._apart: set[tuple[str, str]] = set()
        self._shown: dict[str, dict[str, list[Shown]]] = {}

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each episode (E,) int64."""
        return np.array([episode.length for episode in self.episodes], dtype=np.int64)

    @property
    def all_lengths(self) -> dict[int, int]:
        """Number -> rows of every episode, chosen or not."""
        return {episode.index: episode.length for episode in self._all_episodes}

    def rows_in(self, file: str) -> int:
        """Rows of all episodes in a data or video file, chosen or not."""
        return self._file_rows.get(file, 0)

    def column(self, name: str) -> np.ndarray:
        """All rows of a feature: (N, ...); (N,) where the feature's shape is (1,). Treat it as read only.

        Rows of episodes that did not record the feature are NaN (0, False or "" where the type has no NaN);
        ``recorded(name)`` tells them apart. Raises UserError when the column is missing or holds NaN itself.
        """
        return self._read(name)[0]

    def recorded(self, name: str) -> np.ndarray:
        """(N,) bool: whether each row recorded the feature."""
        return self._read(name)[1]

    def elsewhere(self, name: str) -> Iterator[np.ndarray]:
        """Yield the recorded values of a column, a data file at a time, of the files with episodes that were not
        chosen. Files that are not there or cannot be read are passed over."""
        chosen = {record.index for record in self.episodes}
        for file in dict.fromkeys(record.data_file for record in self._all_episodes if record.index not in chosen):
            path = self.root / file
            try:
                column = read_table(path, [name])[name]
                values, recorded = column_values(column, self.features[name], f"{path}: column {name!r}")
            except UserError:  # nobody asked for these episodes
                continue
            yield values[recorded]

    def frames(self, episode: int, camera: str) -> np.ndarray:
        """The frames of one episode: (T, H, W, 3) uint8 RGB. Decodes these frames and no others."""
        return next(self.iterate_frames([episode], camera))

    def first_frame(self, episode: int, camera: str) -> np.ndarray:
        """The first of ``frames(episode, camera)``, (H, W, 3) uint8 RGB. Of a video no other is decoded."""
        name, record = self._camera_feature(camera), self.episodes[episode]
        if self.features[name]["dtype"] == "image":
            return self.frames(episode, camera)[0]
        file, start = record.videos[name]
        return next(decode_frames(self.root / file, start, 1, self.fps, self.shown_in(file, name)))

    def iterate_frames(
        self, episodes: Sequence[int], camera: str, convert: Convert | None = None
    ) -> Iterator[np.ndarray]:
        """Yield ``frames(episode, camera)`` for ascending episodes, opening each video file once.

        convert: applied to every frame (H, W, 3) as soon as it is decoded.
        """
        name = self._camera_feature(camera)
        records = [self.episodes[episode] for episode in episodes]
        if self.features[name]["dtype"] == "image":
            yield from (self._pictures(record, name, convert) for record in records)
            return
        for file, group in groupby(records, key=lambda record: record.videos[name][0]):
            self.check_overlap(file, name)
            spans = [(record.videos[name][1], record.length) for record in group]
            yield from decode_spans(self.root / file, spans, self.fps, convert, self.shown_in(file, name))

    def shown_in(self, file: str, name: str) -> list[Shown]:
        """What a video file of a feature shows: all its episodes, chosen or not, by time."""
        if name not in self._shown:
            files: dict[str, list[Shown]] = {}
            for episode in sorted(self._all_episodes, key=lambda episode: episode.videos[name][1]):
                path, start = episode.videos[name]
                files.setdefault(path, []).append(Shown(start, episode.length, episode.index))
            self._shown[name] = files
        return self._shown[name][file]

    def iterate_squares(self, episodes: Sequence[int], camera: str, size: int) -> Iterator[np.ndarray]:
        """``iterate_frames`` as the model sees them: (T, size, size, 3), cropped to their centre and averaged."""
        yield from self.iterate_frames(episodes, camera, squares(size, "crop"))

    def check_overlaps(self, name: str) -> None:
        """Raise UserError when a video has too few frames of an episode, so that its last are those of the next."""
        for file in dict.fromkeys(record.videos[name][0] for record in self.episodes):
            self.check_overlap(file, name)

    def check_overlap(self, file: str, name: str) -> None:
        """``check_overlaps`` of one file."""
        if (file, name) in self._apart:
            return
        shown = self.shown_in(file, name)
        late = {episode.episode: episode for episode in overlapping(shown, self.fps)}
        wanted = [late[record.index] for record in self.episodes if record.index in late] if late else []
        if wanted:
            with closing(VideoReader(self.root / file, self.fps, shown)) as reader:
                if not reader.counts:
                    raise UserError(
                        f"{self.root / file}: the next episode begins before all {wanted[0].length} frames of episode "
                        f"{wanted[0].episode} are shown; {LEAVE_OUT}, restore the file or record it again"
                    )
        self._apart.add((file, name))

    def _camera_feature(self, camera: str) -> str:
        if camera not in self.camera_features:
            raise UserError(f"{self.root}: no camera {camera!r}; it has {_listing(self.cameras)}")
        return self.camera_features[camera]

    def _is_camera(self, name: str, feature: dict[str, Any]) -> bool:
        """Going by info.json, and for pictures inside the data files by the first of them."""
        if feature["dtype"] != "image" or not is_camera(feature):
            return is_camera(feature)
        record = self.episodes[0]
        path = self.root / record.data_file
        try:
            cell = next(read_cells(path, name, record.data_row, 1), None)
        except UserError:  # said when it is read
            return True
        return not is_deep(cell, self.root, path)

    def _read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(values, recorded) of a column, read once."""
        if name not in self._columns:
            self._check_column(name)
            parts = [self._read_file(path, list(records), name) for path, records in self.data_files()]
            self._columns[name] = (
                np.concatenate([values for values, _ in parts]),
                np.concatenate([recorded for _, recorded in parts]),
            )
        return self._columns[name]

    def _check_column(self, name: str) -> None:
        feature = self.features.get(name)
        if feature is None or feature["dtype"] in PICTURES:
            names = [n for n, f in self.features.items() if is_readable(f)]
            raise UserError(f"{self.root}: no column {name!r}; it has {_listing(names)}")
        if not is_readable(feature):
            what = f"{feature['dtype']} of shape {feature['shape']}"
            raise UserError(f"{self.root}: column {name!r} is {what}, which is listed but not read; choose another")

    def data_files(self) -> Iterator[tuple[str, Iterator[EpisodeRecord]]]:
        """Data files, relative to the root, with the episodes in each."""
        return groupby(self.episodes, key=lambda record: record.data_file)

    def read_file(self, file: str, records: list[EpisodeRecord], name: str) -> tuple[np.ndarray, np.ndarray]:
        """(values, recorded) of a column for the episodes of one file, NaN in the file included."""
        path = self.root / file
        column = read_table(path, [name])[name]
        self._check_rows(file, len(column))
        chunks = [chunk for record in records for chunk in column.slice(record.data_row, record.length).chunks]
        return column_values(pa.chunked_array(chunks, column.type), self.features[name], f"{path}: column {name!r}")

    def _check_rows(self, file: str, rows: int) -> None:
        """Once for a file: that the rows of each chosen episode are in it, and are its own where the file says so."""
        if file in self._checked:
            return
        path, told = (
            self.root / file,
            self.version.startswith("v3.") and "episode_index" in column_names(self.root / file),
        )
        if not told and rows != self._file_rows[file]:
            raise UserError(
                f"{path}: has {rows} rows but its episodes have {self._file_rows[file]}; {LEAVE_OUT} or restore it"
            )
        if told:
            numbers = read_table(path, ["episode_index"])["episode_index"].to_numpy()
            for record in self._in_file[file]:
                own = int((numbers[record.data_row : record.data_row + record.length] == record.index).sum())
                if own < record.length:
                    raise UserError(
                        f"{path}: {own} of {record.length} rows of episode {record.index} are where "
                        "meta/episodes says; "
                        f"{LEAVE_OUT} or restore the file"
                    )
        self._checked.add(file)

    def _read_file(self, file: str, records: list[EpisodeRecord], name: str) -> tuple[np.ndarray, np.ndarray]:
        values, recorded = self.read_file(file, records, name)
        bad = np.array([], int)
        if values.dtype.kind == "f":
            bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1) & recorded)
        if len(bad):
            ends = np.cumsum([record.length for record in records])
            place = int(np.searchsorted(ends, bad[0], side="right"))
            row = bad[0] - ends[place] + records[place].length
            raise UserError(
                f"{self.root / file}: column {name!r} is NaN or infinite in row {row} of episode "
                f"{records[place].index}; "
                f"{LEAVE_OUT} or store nulls where nothing was recorded"
            )
        return values, recorded

    def _pictures(self, record: EpisodeRecord, name: str, convert: Convert | None) -> np.ndarray:
        """Frames stored as compressed pictures inside the data file, or as files that it names."""
        path = self.root / record.data_file
        self._check_rows(record.data_file, footer(path).num_rows)
        pictures: np.ndarray | None = None
        count = 0
        for count, cell in enumerate(read_cells(path, name, record.data_row, record.length), 1):
            try:
                picture = decode_picture(cell, self.root, path)
            except UserError as error:
                raise UserError(
                    f"{path}: picture {count - 1} of {name!r} in episode {record.index} is {error}; "
                    f"{LEAVE_OUT} or restore it"
                ) from error
            picture = picture if convert is None else convert(picture)
            if pictures is None:  # filled one by one: twice a long episode would not fit into memory
                pictures = np.empty((record.length, *picture.shape), np.uint8)
            if picture.shape != pictures.shape[1:]:
                raise UserError(
                    f"{path}: picture {count - 1} of {name!r} in episode {record.index} is of another "
                    "size than the first; "
                    f"{LEAVE_OUT}"
                )
            pictures[count - 1] = picture
        if pictures is None or count < record.length:
            raise UserError(f"{path}: episode {record.index} has {count} of {record.length} rows; {LEAVE_OUT}")
        return pictures


def _refuse_damage(metadata: Metadata, root: Path, chosen: Sequence[int] | None) -> None:
    """Raise what keeps wanted episodes from being read."""
    lost = [number for number in metadata.lost if chosen is None or number in chosen]
    if lost:
        raise UserError(f"{metadata.lost[lost[0]]}; {LEAVE_OUT} or restore the file")
    if metadata.unread and (chosen is None or set(chosen) - {e.index for e in metadata.episodes}):
        known = _numbers([e.index for e in metadata.episodes])
        raise UserError(f"{metadata.unread[0]}; or read the other episodes alone (--episodes {known})")


def _choose(episodes: list[EpisodeRecord], chosen: Sequence[int], root: Path) -> list[EpisodeRecord]:
    """The chosen episodes, by number, their rows counted anew. Spans pass over numbers that no episode has."""
    by_number = {episode.index: episode for episode in episodes}
    asked, last = set(chosen), max(by_number, default=-1)
    gaps = {n for n in asked - by_number.keys() if n < last and asked & {n - 1, n + 1}}
    unknown = [number for number in chosen if number not in by_number and number not in gaps]
    if unknown or not asked - gaps:
        wanted = f"no episode {(unknown or chosen)[0]}" if chosen else "no episode chosen"
        raise UserError(f"{root}: {wanted}; it has episodes {_numbers(list(by_number))}")
    kept, start = [], 0
    for number in (number for number in chosen if number not in gaps):
        kept.append(replace(by_number[number], start=start))
        start += by_number[number].length
    return kept


def _numbers(numbers: Sequence[int]) -> str:
    """`0:3,5` of 0, 1, 2, 5: as --episodes takes it."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number:
            spans[-1][1] += 1
        else:
            spans.append([number, number + 1])
    shown = [str(first) if behind == first + 1 else f"{first}:{behind}" for first, behind in spans]
    return ",".join(shown[:20]) + (",..." if len(shown) > 20 else "")


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
