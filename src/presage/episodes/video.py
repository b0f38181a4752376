"""Video in and out: encode one clip, join clips without re-encoding, decode chosen frames.

The encoder is libx264 at 4:4:4 (chroma survives at 64 pixels), preset ultrafast with arithmetic coding, crf 12, a key
frame every second frame. Processor time for 30 frames of 64x64 on one core, colour conversion and mp4 included:
3.5 ms; 4.7 ms without arithmetic coding (whose tables are dearer to set up than it is to run), 7 ms with superfast
or veryfast, 10 ms with medium, all within 47-51 dB. Everything runs on one thread: threads, those of the colour
conversion too, cost more than such small frames take.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from presage.episodes.clock import Shown, counted_times, lacks_unseen, rate_of
from presage.episodes.files import LEAVE_OUT
from presage.errors import UserError

CODEC = "libx264"
PIX_FMT = "yuv444p"
CRF = 12
GOP = 2
PRESET = "ultrafast"
# With B-frames the first packets would need negative times, which joining could not keep.
_OPTIONS = {"preset": PRESET, "crf": str(CRF), "g": str(GOP), "bf": "0", "x264-params": "cabac=1"}


@dataclass(frozen=True)
class Encoding:
    """How frames are compressed. The default is that of presage's own recordings."""

    codec: str = CODEC
    """An encoder of ffmpeg."""
    pix_fmt: str = PIX_FMT
    options: dict[str, str] = field(default_factory=lambda: dict(_OPTIONS))


def frame_rate(fps: float) -> Fraction:
    """Frames per second as the fraction that video containers keep exactly (29.97 -> 30000/1001)."""
    return Fraction(fps).limit_denominator(1001)


@contextmanager
def same_priority() -> Iterator[None]:
    """Around an encoder: SVT-AV1, run as root, gives the calling thread real-time priority (SCHED_FIFO 99) and leaves
    it so. Whatever that thread starts would inherit it; a browser starved the machine."""
    if not hasattr(os, "sched_getscheduler"):  # not Linux
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def encode_clip(path: Path, frames: Iterable[np.ndarray], fps: float, encoding: Encoding = Encoding()) -> None:
    """Write frames (T, H, W, 3) uint8 RGB as an mp4 whose frame t is shown at t / fps seconds."""
    rate = frame_rate(fps)
    reformatter = VideoReformatter()
    with same_priority(), av.open(str(path), "w", format="mp4") as container:
        stream: av.VideoStream | None = None
        for t, image in enumerate(frames):
            if stream is None:
                stream = cast(av.VideoStream, container.add_stream(encoding.codec, rate=rate, options=encoding.options))
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = encoding.pix_fmt
                stream.codec_context.thread_count = 1
                stream.codec_context.colorspace = Colorspace.ITU601
                stream.codec_context.color_range = ColorRange.MPEG
            rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = reformatter.reformat(rgb, format=encoding.pix_fmt, dst_colorspace=Colorspace.ITU601, threads=1)
            frame.pts, frame.time_base = t, 1 / rate
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())


class ClipJoiner:
    """Join clips of equal encoder settings into one mp4 by copying their packets, each clip right behind the last."""

    def __init__(self, path: Path, fps: float):
        self.path = path
        self.frames = 0
        self.bytes = 0
        self._step = 1 / frame_rate(fps)
        self._container = av.open(str(path), "w", format="mp4")
        self._stream: av.VideoStream | None = None
        self._header: bytes | None = None

    def fits(self, clip: Path) -> bool:
        """Whether the clip's codec header equals the one of the clips already joined."""
        if self._stream is None:
            return True
        with av.open(str(clip)) as source:
            return source.streams.video[0].codec_context.extradata == self._header

    def append(self, clip: Path) -> tuple[float, float]:
        """Append one clip; return its (from, to) timestamps in seconds inside the joined file."""
        with av.open(str(clip)) as source:
            template = source.streams.video[0]
            if self._stream is None:
                self._stream = self._container.add_stream_from_template(template)
                self._header = template.codec_context.extradata
            tick = cast(Fraction, template.time_base)
            start = self.frames
            for packet in source.demux(template):
                if packet.dts is None:  # the flush packet behind the last one
                    continue
                time = round(self.frames * self._step / tick)
                packet.pts = packet.dts = time
                packet.duration = round((self.frames + 1) * self._step / tick) - time
                packet.stream = self._stream
                self._container.mux(packet)
                self.frames += 1
        self.bytes += clip.stat().st_size
        return float(start * self._step), float(self.frames * self._step)

    def close(self) -> None:
        self._container.close()


Convert = Callable[[np.ndarray], np.ndarray]
"""What becomes of a frame (H, W, 3) uint8 as soon as it is decoded: long episodes at full size do not fit into memory.
"""


def decode_spans(
    path: Path,
    spans: Sequence[tuple[float, int]],
    fps: float,
    convert: Convert | None = None,
    shown: Sequence[Shown] = (),
) -> Iterator[np.ndarray]:
    """Decode spans of a video, opened once.

    spans: (seconds of the first frame, number of frames T), in ascending order. convert: applied to every frame. shown:
    see `VideoReader`.
    Yields one (T, H, W, 3) uint8 RGB array per span. Decodes from the key frame before the span to its end and nothing
    else. Raises UserError naming the file when it is missing, damaged, too short or of an unknown codec.
    """
    with closing(VideoReader(path, fps, shown)) as reader:
        for start, length in spans:
            reader.require(start, length)
            images = np.empty((length, 0, 0, 3), dtype=np.uint8)
            for t, image in enumerate(_rgb_span(reader, start, length)):
                image = image if convert is None else convert(image)
                if t == 0:
                    images = np.empty((length, *image.shape), dtype=np.uint8)
                images[t] = image
            yield images


def decode_frames(
    path: Path, start: float, length: int, fps: float, shown: Sequence[Shown] = ()
) -> Iterator[np.ndarray]:
    """The frames of one span, one after the other: no more than one is in memory. Raises UserError like
    decode_spans."""
    with closing(VideoReader(path, fps, shown)) as reader:
        yield from _rgb_span(reader, start, length)


def _rgb_span(reader: "VideoReader", start: float, length: int) -> Iterator[np.ndarray]:
    """RGB (H, W, 3) of the frames shown from ``start`` seconds on."""
    reformatter = VideoReformatter()
    for _, frame in reader.read(start + np.arange(length) / reader.fps):
        yield _rgb_pixels(frame, reformatter)


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """A video file and its stream; what goes wrong with it becomes a UserError that names the file."""
    if not path.exists():
        raise UserError(f"{path}: the video is missing; restore the file or download the dataset again")
    with _naming(path), av.open(str(path), metadata_errors="replace") as container:
        if not container.streams.video:
            raise UserError(f"{path}: no video stream inside; restore the file or record it again")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise UserError(f"{path}: the video's codec is unknown here; convert it to h264, hevc or av1")
        stream.thread_type = "NONE"  # callers decode several files side by side; threads per file only cost
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"err_detect": "explode"}
        yield container, stream


class VideoReader:
    """One open video, from which frames are taken at chosen times.

    A request goes on from the frame decoded last where that is on the way, and otherwise from the nearest key frame in
    front of it: several windows of one group of pictures are decoded in one pass. Not for two threads at once.

    Decodes on one thread. FFmpeg's default, one per core for AV1, doubles the time of a window of 8 frames, because
    frames then leave the decoder late and every seek throws some away.

    shown: all episodes in the file, by time. Errors then name the episode, and a clock that drifts is put right
    (`clock.py`).

    Raises UserError naming the file when it is missing, damaged or holds no video.
    """

    def __init__(self, path: Path, fps: float, shown: Sequence[Shown] = ()):
        self.path, self.fps, self._shown = path, fps, shown
        self._starts = np.array([episode.start for episode in shown])
        self._first = np.cumsum([0, *(episode.length for episode in shown)])
        self._open = ExitStack()
        self._container, self._stream = self._open.enter_context(open_video(path))
        self._tick = float(cast(Fraction, self._stream.time_base))  # fractions cost more than decoding small frames
        self._decoded: Iterator[av.VideoFrame] = iter(())
        self._last: float | None = None
        self._counted = counted_times(shown, fps, self._times()) if self._drifts() else None

    @property
    def counts(self) -> bool:
        """Whether frames are counted, because the file's clock is not that of the dataset."""
        return self._counted is not None

    def require(self, start: float, length: int) -> None:
        """Raise UserError when the file cannot hold as many frames: before memory is taken for them."""
        there = len(self._stream.index_entries)
        if 0 < there < length:
            raise self._lacks(start, there, length, start)

    def read(self, seconds: np.ndarray) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield (i, the frame shown at seconds[i]) in order. seconds: ascending, each within half a frame of a frame.

        Decodes from the nearest key frame on and nothing behind the last frame. Raises UserError when a frame is
        damaged or not there.
        """
        half = 0.5 / self.fps
        for i, wanted in enumerate(seconds):
            try:
                frame = self._forward_to(self._real(float(wanted)), half)
            except av.FFmpegError as error:
                raise _damaged(self.path, error, self._whose(wanted)) from error
            if frame is None:
                raise self._lacks(wanted, i, len(seconds), seconds[0])
            yield i, frame

    def _lacks(self, wanted: float, there: int, length: int, start: float) -> UserError:
        return UserError(
            f"{self.path}: {self._whose(wanted)}only {there} of {length} frames behind {start:.3f} s can be "
            f"read{self._why()}; {LEAVE_OUT}, restore the file or record it again"
        )

    def _position(self, wanted: float) -> int:
        """Of the episode in `shown` that is on screen."""
        return max(0, int(np.searchsorted(self._starts, wanted + 0.5 / self.fps, side="right")) - 1)

    def _whose(self, wanted: float) -> str:
        return f"episode {self._shown[self._position(wanted)].episode}: " if self._shown else ""

    def _real(self, wanted: float) -> float:
        """The time in the file's clock."""
        if self._counted is None:
            return wanted
        position = self._position(wanted)
        frame = round((wanted - self._starts[position]) * self.fps)
        return float(self._counted[self._first[position] + min(max(frame, 0), self._shown[position].length - 1)])

    def _drifts(self) -> bool:
        """Whether some episode does not begin or end at its time, though the file has a frame for every row."""
        entries = self._stream.index_entries
        if not self._shown or len(entries) != self._first[-1] or not len(entries):
            return False
        begin = self._begin(entries[0].timestamp)
        for i, episode in enumerate(self._shown):
            for t in (0, episode.length - 1):
                time = begin + (entries[int(self._first[i]) + t].timestamp - entries[0].timestamp) * self._tick
                if abs(time - episode.start - t / self.fps) > 0.25 / self.fps:
                    return True
        return False

    def _begin(self, first: int) -> float:
        """Seconds of the first frame shown. The index has times of decoding, which run ahead in videos with
        B-frames."""
        return float(first if self._stream.start_time is None else self._stream.start_time) * self._tick

    def _times(self) -> np.ndarray:
        """(frames,) seconds of all frames that the index lists."""
        ticks = np.sort([entry.timestamp for entry in self._stream.index_entries]).astype(np.float64)
        return self._begin(int(ticks[0])) + (ticks - ticks[0]) * self._tick if len(ticks) else ticks

    def _why(self) -> str:
        unseen = lacks_unseen(self._shown, self._times())
        if unseen:
            return f" (the file has {unseen}: earlier episodes may show wrong frames)"
        rate = rate_of(self._times())
        if rate is None or abs(rate / self.fps - 1) < 0.002:
            return ""
        return f" (the video has {rate:.4g} frames a second, meta/info.json says fps {self.fps:g})"

    def close(self) -> None:
        self._open.close()

    def _forward_to(self, wanted: float, half: float) -> av.VideoFrame | None:
        if self._must_seek(wanted, half):
            self._container.seek(self._ticks(wanted + half / 2), stream=self._stream)
            self._decoded = self._container.decode(self._stream)
        for frame in self._decoded:
            self._last = (frame.pts or 0) * self._tick
            if self._last > wanted + half:
                return None
            if self._last >= wanted - half and not frame.is_corrupt:
                return frame
        self._last = None  # the decoder was drained: only a seek revives it
        return None

    def _must_seek(self, wanted: float, half: float) -> bool:
        """Whether going on from the last frame is impossible, or a key frame lies in between that saves decoding."""
        if self._last is None or wanted <= self._last + half:
            return True
        if wanted <= self._last + 3 * half:  # the very next frame
            return False
        entries = self._stream.index_entries
        found = entries.search_timestamp(self._ticks(wanted + half / 2))
        return found >= 0 and entries[found].timestamp * self._tick > self._last + 3 * half

    def _ticks(self, seconds: float) -> int:
        return int(seconds / self._tick)


def _rgb_pixels(frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    """The frame as RGB (H, W, 3) uint8: a view into memory of its own, without the padding behind each line."""
    plane = reformatter.reformat(frame, format="rgb24", threads=1).planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)
    return lines[:, : 3 * frame.width].reshape(frame.height, frame.width, 3)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what FFmpeg raises into one line that names the file."""
    try:
        yield
    except av.FFmpegError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: av.FFmpegError, whose: str = "") -> UserError:
    reason = (error.strerror or "unreadable").lower()
    remedy = f"{LEAVE_OUT}, restore the file or record it again" if whose else "restore the file or record it again"
    return UserError(f"{path}: {whose}the video is damaged ({reason}); {remedy}")


def describe_video(height: int, width: int, fps: float) -> dict[str, object]:
    """The ``info`` block of a video feature in info.json, for clips made by encode_clip."""
    return {
        "video.height": height,
        "video.width": width,
        "video.codec": "h264",
        "video.pix_fmt": PIX_FMT,
        "video.fps": int(fps) if float(fps).is_integer() else fps,
        "video.channels": 3,
        "video.g": GOP,
        "video.crf": CRF,
        "video.preset": PRESET,
        "video.is_depth_map": False,
        "is_depth_map": False,
        "has_audio": False,
    }


def encoding(codec: str, crf: int) -> Encoding:
    """The `Encoding` of h264, hevc or av1 at a quality, with a key frame every second frame as LeRobot has them: any
    frame is found by decoding two at most."""
    options = {"crf": str(crf), "g": str(GOP), "bf": "0"}
    if codec == "h264":
        return Encoding("libx264", "yuv420p", {**options, "preset": "medium"})
    if codec == "hevc":
        # cutree is of no use between so many key frames, and x265 dies of it in pictures less than 49 pixels wide.
        x265 = f"crf={crf}:cutree=0:keyint={GOP}:min-keyint=1:scenecut=0:bframes=0:open-gop=0:log-level=none"
        return Encoding("libx265", "yuv420p", {"crf": str(crf), "preset": "medium", "x265-params": x265})
    return Encoding("libsvtav1", "yuv420p", {"crf": str(crf), "g": str(GOP), "preset": "10"})
