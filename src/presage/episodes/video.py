"""Video in and out: encode one clip, join clips without re-encoding, decode chosen frames.

The encoder is libx264 at 4:4:4 (chroma survives at 64 pixels), preset ultrafast with arithmetic coding, crf 12, a key
frame every second frame. Processor time for 30 frames of 64x64 on one core, colour conversion and mp4 included:
3.5 ms; 4.7 ms without arithmetic coding (whose tables are dearer to set up than it is to run), 7 ms with superfast
or veryfast, 10 ms with medium, all within 47-51 dB. Everything runs on one thread: threads, those of the colour
conversion too, cost more than such small frames take.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from presage.errors import UserError

CODEC = "libx264"
PIX_FMT = "yuv444p"
CRF = 12
GOP = 2
PRESET = "ultrafast"
# With B-frames the first packets would need negative times, which joining could not keep.
_OPTIONS = {"preset": PRESET, "crf": str(CRF), "g": str(GOP), "bf": "0", "x264-params": "cabac=1"}


def frame_rate(fps: float) -> Fraction:
    """Frames per second as the fraction that video containers keep exactly (29.97 -> 30000/1001)."""
    return Fraction(fps).limit_denominator(1001)


def encode_clip(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write frames (T, H, W, 3) uint8 RGB as an mp4 whose frame t is shown at t / fps seconds."""
    rate = frame_rate(fps)
    reformatter = VideoReformatter()
    with av.open(str(path), "w", format="mp4") as container:
        stream = cast(av.VideoStream, container.add_stream(CODEC, rate=rate, options=_OPTIONS))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = PIX_FMT
        stream.codec_context.thread_count = 1
        stream.codec_context.colorspace = Colorspace.ITU601
        stream.codec_context.color_range = ColorRange.MPEG
        for t, image in enumerate(frames):
            rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = reformatter.reformat(rgb, format=PIX_FMT, dst_colorspace=Colorspace.ITU601, threads=1)
            frame.pts, frame.time_base = t, 1 / rate
            container.mux(stream.encode(frame))
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
"""What becomes of a frame (H, W, 3) uint8 as soon as it is decoded: long episodes at full size do not fit into memory."""


def decode_spans(
    path: Path, spans: Sequence[tuple[float, int]], fps: float, convert: Convert | None = None
) -> Iterator[np.ndarray]:
    """Decode spans of a video, opened once.

    spans: (seconds of the first frame, number of frames T), in ascending order. convert: applied to every frame.
    Yields one (T, H, W, 3) uint8 RGB array per span. Decodes from the key frame before the span to its end and nothing
    else. Raises UserError naming the file when it is missing, damaged, too short or of an unknown codec.
    """
    if not path.exists():
        raise UserError(f"{path}: the video is missing; restore the file or download the dataset again")
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise UserError(f"{path}: the video's codec is unknown here; convert it to h264, hevc or av1")
            stream.thread_type = "NONE"  # callers decode several files side by side; threads per file only cost
            stream.codec_context.options = {"err_detect": "explode"}
            for start, length in spans:
                container.seek(int((start + 0.25 / fps) / cast(Fraction, stream.time_base)), stream=stream)
                images, seen = _decode_span(container.decode(stream), start, length, fps, convert)
                if seen < length:
                    raise UserError(
                        f"{path}: only {seen} of {length} frames behind {start:.3f} s can be read; "
                        "restore the file or record it again"
                    )
                yield images
    except av.FFmpegError as error:
        reason = (error.strerror or "unreadable").lower()
        raise UserError(f"{path}: the video is damaged ({reason}); restore the file or record it again") from error
    except IndexError as error:
        raise UserError(f"{path}: no video stream inside; restore the file or record it again") from error


def _decode_span(
    decoded: Iterator[av.VideoFrame], start: float, length: int, fps: float, convert: Convert | None
) -> tuple[np.ndarray, int]:
    """The frames shown from ``start`` seconds on as (length, H, W, 3), and how many of them were there."""
    reformatter = VideoReformatter()
    images = np.empty((length, 0, 0, 3), dtype=np.uint8)
    seen = np.zeros(length, dtype=bool)
    for frame in decoded:
        t = round(((frame.time or 0.0) - start) * fps)
        if t >= length:
            break
        if t < 0 or frame.is_corrupt:
            continue
        image = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        image = image if convert is None else convert(image)
        if not seen.any():
            images = np.empty((length, *image.shape), dtype=np.uint8)
        images[t] = image
        seen[t] = True
        if t == length - 1:
            break
    return images, int(seen.sum())


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
