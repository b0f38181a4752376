"""The videos of an edited dataset: episodes cut out of their files and joined, compressed again only where they must
be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
from tqdm import tqdm

from presage.episodes import layout
from presage.episodes.clock import Shown
from presage.episodes.dataset import Dataset
from presage.episodes.fit import scaled
from presage.episodes.lossless import encode_lossless, holds_colours, info_block
from presage.episodes.metadata import EpisodeRecord
from presage.episodes.splice import Source, Span, Splicer
from presage.episodes.together import is_no_colour
from presage.episodes.video import Encoding, decode_frames, describe_video, encode_clip
from presage.errors import UserError


@dataclass(frozen=True)
class Recompress:
    """Every video of 8-bit colours compressed again. Depth maps and other videos are copied as they are."""

    encoding: Encoding
    short_side: int | None = None
    """Pixels of the shorter side; None: as they are."""


@dataclass
class Camera:
    """What became of the videos of one camera."""

    copied: int = 0
    """Episodes whose packets were copied."""
    colours: int = 0
    """Episodes that were compressed again as colours, with loss."""
    lossless: int = 0
    """Episodes that were compressed again without."""
    spared: bool = False
    """Whether `Recompress` passed videos over because they are no colours."""
    silenced: dict[Path, Path] = field(default_factory=dict)
    """A file whose sound was left behind, by dataset."""


class Cutter:
    """Writes the videos of one camera into a dataset."""

    def __init__(self, root: Path, name: str, feature: dict[str, Any], fps: float, recompress: Recompress | None):
        self.root, self.name, self.feature, self.fps, self.recompress = root, name, feature, fps, recompress
        self.done = Camera()
        self._clip = root / f".{name}.mp4"
        self._opened: Source | None = None

    def write(self, episodes: Sequence[tuple[Dataset, EpisodeRecord]]) -> Iterator[dict[str, Any]]:
        """Where each episode lies, as meta/episodes says it; a file ends when full or when a span does not fit."""
        chunk, file = 0, 0
        splicer: Splicer | None = None
        for part in dict.fromkeys(part for part, _ in episodes):
            part.check_overlaps(self.name)
        for part, record in tqdm(episodes, desc=self.name, unit="episode"):
            path, start = record.videos[self.name]
            source, span = self._cut(part, part.root / path, start, record.length)
            full = splicer is not None and splicer.bytes > layout.VIDEO_FILE_MB * layout.MEGABYTE
            if splicer is not None and (full or not splicer.fits(source, span)):
                splicer.close()
                splicer = None
                chunk, file = layout.next_file(chunk, file)
            if splicer is None:
                target = self._place(chunk, file)
                target.parent.mkdir(parents=True, exist_ok=True)
                splicer = Splicer(target, self.fps, source, span)
            begin, end = splicer.append(source, span)
            yield {
                f"videos/{self.name}/chunk_index": chunk,
                f"videos/{self.name}/file_index": file,
                f"videos/{self.name}/from_timestamp": begin,
                f"videos/{self.name}/to_timestamp": end,
            }
        if splicer is not None:
            splicer.close()
        self._clip.unlink(missing_ok=True)

    def describe(self) -> dict[str, Any]:
        """The camera's entry in info.json: changed only where videos were compressed again, and then only what
        changed."""
        block = info_block(self.feature)
        told = dict(self.feature.get(block) or {})
        if self.done.silenced:
            told = {key: value for key, value in told.items() if not key.startswith("audio.")} | {"has_audio": False}
        feature = {**self.feature, block: told} if told or block in self.feature else self.feature
        if not self.done.colours + self.done.lossless:
            return feature
        first = Source(self._place(0, 0), self.fps)
        told |= {"video.codec": first.codec, "video.pix_fmt": first.pix_fmt}
        if not self.done.colours:
            return {**feature, block: told}
        if not self.done.copied + self.done.lossless:
            told |= self._settings(first)
        return {**feature, "shape": [first.height, first.width, feature["shape"][2]], block: told}

    def _settings(self, first: Source) -> dict[str, Any]:
        """Of the encoder, where all episodes have passed it."""
        flags = ("is_depth_map", "video.is_depth_map", "video.codec", "video.pix_fmt")
        described = {k: v for k, v in describe_video(first.height, first.width, self.fps).items() if k not in flags}
        if self.recompress is not None:
            options = self.recompress.encoding.options
            described |= {"video.preset": options.get("preset"), "video.crf": int(options["crf"])}
        return described

    def _place(self, chunk: int, file: int) -> Path:
        return self.root / layout.VIDEO_PATH.format(video_key=self.name, chunk_index=chunk, file_index=file)

    def _cut(self, part: Dataset, path: Path, start: float, length: int) -> tuple[Source, Span]:
        """The episode as packets: those of its file, or of a clip that is compressed anew."""
        shown = part.shown_in(path.relative_to(part.root).as_posix(), self.name)
        if self._opened is None or self._opened.path != path:
            self._opened = Source(path, self.fps, shown)
            if self._opened.has_sound:
                self.done.silenced.setdefault(part.root, path)
        source = self._opened
        colours = holds_colours(source.pix_fmt) and not is_no_colour(part.features[self.name])
        self.done.spared |= self.recompress is not None and not colours
        span = source.span(start, length) if self.recompress is None or not colours else None
        if span is not None:
            self.done.copied += 1
            return source, span
        try:
            self._compress(path, start, length, colours, shown)
        except av.FFmpegError as error:
            raise UserError(
                f"{path}: cannot be compressed again ({error.strerror or error}); choose another codec or size"
            ) from error
        self.done.colours += colours
        self.done.lossless += not colours
        clip = Source(self._clip, self.fps)
        whole = clip.span(0.0, length)
        assert whole is not None  # a clip of its own always has one
        return clip, whole

    def _compress(self, path: Path, start: float, length: int, colours: bool, shown: Sequence[Shown]) -> None:
        if not colours:
            encode_lossless(self._clip, path, start, length, self.fps, shown)
            return
        frames = decode_frames(path, start, length, self.fps, shown)
        if self.recompress is None:
            encode_clip(self._clip, frames, self.fps)
            return
        short_side = self.recompress.short_side
        encode_clip(self._clip, (scaled(image, short_side) for image in frames), self.fps, self.recompress.encoding)
