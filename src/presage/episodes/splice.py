"""Cut spans out of videos and join them by copying packets, so that no frame is compressed twice.

A span can be copied when it begins with a key frame and its packets lie together: nothing inside then refers to a frame
outside. Recordings that compress every episode by itself (presage's, LeRobot's) are of this kind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np

from presage.episodes.clock import Shown, counted_times
from presage.episodes.lossless import stored_format
from presage.episodes.video import frame_rate, open_video
from presage.errors import UserError

_CODECS = {"libdav1d": "av1", "libaom-av1": "av1"}
"""Names of codecs where the decoder has another."""


@dataclass(frozen=True)
class Span:
    """Packets `first` to `first + length - 1`, in decoding order, of a video."""

    source: Path
    first: int
    order: np.ndarray
    """(length,) which frame of the span each packet shows"""

    @property
    def delay(self) -> int:
        """Frames by which decoding has to run ahead of showing."""
        return int((np.arange(len(self.order)) - self.order).max())


class Source:
    """A video whose packets are listed once and then read forwards.

    shown: all episodes in the file, by time; a clock that drifts is then put right (`clock.py`).

    Raises UserError when the file is missing or damaged.
    """

    def __init__(self, path: Path, fps: float, shown: Sequence[Shown] = ()):
        self.path, self._fps = path, fps
        seconds, keys, sizes = [], [], []
        with open_video(path) as (container, stream):
            context = stream.codec_context
            self.codec = _CODECS.get(context.name, context.name)
            self.width, self.height, self.pix_fmt = context.width, context.height, stored_format(context)
            self.header = (context.name, context.width, context.height, context.extradata)
            self.has_sound = bool(container.streams.audio)
            for packet in container.demux(stream):
                if packet.dts is not None or packet.pts is not None:
                    time = packet.pts if packet.pts is not None else packet.dts
                    seconds.append(float(cast(int, time) * cast(Fraction, stream.time_base)))
                    keys.append(packet.is_keyframe)
                    sizes.append(packet.size)
        self.seconds = np.array(seconds, dtype=np.float64)
        """(packets,) when each packet is shown, in decoding order"""
        self.frames = np.round(self.seconds * fps).astype(np.int64)
        """(packets,) number of the frame that each packet shows, in decoding order"""
        self.counted = counted_times(shown, fps, np.sort(self.seconds)) is not None
        """Whether frames were counted because their times drift."""
        if self.counted:
            numbers = [round(episode.start * fps) + np.arange(episode.length) for episode in shown]
            self.frames[np.argsort(self.seconds)] = np.concatenate(numbers)
        self._keys, self.sizes = np.array(keys, dtype=bool), np.array(sizes, dtype=np.int64)
        self._reader: Iterator[av.Packet] | None = None
        self._position = 0

    def span(self, start: float, length: int) -> Span | None:
        """The span of `length` frames from `start` seconds on; None where it cannot be copied."""
        begin = round(start * self._fps)
        inside = np.flatnonzero((self.frames >= begin) & (self.frames < begin + length))
        if len(inside) != length or inside[-1] - inside[0] != length - 1:
            return None
        first = int(inside[0])
        order = self.frames[inside] - begin
        if not self._keys[first] or order[0] != 0 or len(np.unique(order)) != length:
            return None
        return Span(self.path, first, order)

    def packets(self, span: Span) -> Iterator[av.Packet]:
        """The packets of a span; spans in ascending order read the file once."""
        if self._reader is None or span.first < self._position:
            self._reader, self._position = self._demux(), 0
        last = span.first + len(span.order) - 1
        for packet in self._reader:
            self._position += 1
            if self._position > span.first:
                yield packet
            if self._position > last:
                return

    def _demux(self) -> Iterator[av.Packet]:
        with open_video(self.path) as (container, stream):
            for packet in container.demux(stream):
                if packet.dts is not None or packet.pts is not None:
                    yield packet


class Splicer:
    """An mp4 that grows span by span, each right behind the last, at an even rate."""

    def __init__(self, path: Path, fps: float, source: Source, first: Span):
        """The first span and its source decide the codec header and how far decoding may run ahead."""
        self.bytes = 0
        self._header, self._step = (source.header, source.pix_fmt), 1 / frame_rate(fps)
        self._delay = max(first.delay, 2) if first.delay else 0  # short spans need less than the encoder's usual two
        self._frames = 0
        self._container = av.open(str(path), "w", format="mp4")
        try:
            with av.open(str(source.path), metadata_errors="replace") as template:
                self._stream = self._container.add_stream_from_template(template.streams.video[0], opaque=True)
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            raise UserError(
                f"{source.path}: {source.codec} cannot be copied into an mp4 ({error}); convert it first"
            ) from error

    def fits(self, source: Source, span: Span) -> bool:
        return (source.header, source.pix_fmt) == self._header and span.delay <= self._delay

    def append(self, source: Source, span: Span) -> tuple[float, float]:
        """Copy a span; returns its (from, to) timestamps in seconds inside the file."""
        begin = self._frames
        for number, packet in enumerate(source.packets(span)):
            tick = packet.time_base
            packet.pts = round((begin + int(span.order[number])) * self._step / tick)
            packet.dts = round((begin + number - self._delay) * self._step / tick)
            packet.duration = round(self._step / tick)
            packet.stream = self._stream
            self.bytes += packet.size
            self._container.mux(packet)
        self._frames += len(span.order)
        return float(begin * self._step), float(self._frames * self._step)

    def close(self) -> None:
        self._container.close()
