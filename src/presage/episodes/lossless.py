"""Videos that are not of 8-bit colours: depth maps, one channel, more than eight bits.

Their levels are measurements. They are copied packet by packet, and where that cannot be compressed again without loss
in their own pixel format; they never pass through 8-bit RGB.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.frame import PictureType

from presage.episodes.clock import Shown
from presage.episodes.video import VideoReader, frame_rate, same_priority
from presage.errors import UserError

_X265 = "lossless=1:cutree=0:keyint=2:min-keyint=1:scenecut=0:bframes=0:open-gop=0:log-level=none"
_ENCODERS = {"libx265": {"x265-params": _X265}, "ffv1": {"level": "3", "g": "1"}}


def info_block(feature: dict[str, Any]) -> str:
    """Where a camera's entry in info.json describes its video: `info`, in old datasets `video_info`."""
    return "video_info" if feature.get("video_info") and not feature.get("info") else "info"


def holds_colours(pix_fmt: str | None) -> bool:
    """Whether a pixel format is three channels of eight bits, all that RGB can keep."""
    try:
        components = av.VideoFormat(pix_fmt).components if pix_fmt else ()
    except ValueError:
        return False
    return len(components) == 3 and all(component.bits == 8 for component in components)


def stored_format(context: av.VideoCodecContext) -> str | None:
    """The pixel format of a video. FFmpeg calls H.264 of one channel yuv420p; its header tells."""
    if context.name == "h264" and context.pix_fmt in ("yuv420p", "yuvj420p") and _is_grey(context.extradata or b""):
        return "gray"
    return context.pix_fmt


def _is_grey(header: bytes) -> bool:
    """Whether an avcC record says that there is no chroma: behind its parameter sets, in profiles from High on."""
    if len(header) < 7 or header[1] not in (100, 110, 122, 144, 244):
        return False
    position, count = 6, header[5] & 31
    for _ in ("sequence", "picture"):
        for _ in range(count):
            position += 2 + int.from_bytes(header[position : position + 2], "big")
        if position >= len(header):
            return False
        count, position = header[position], position + 1
    return count & 0b11 == 0


def encode_lossless(
    clip: Path, source: Path, start: float, length: int, fps: float, shown: Sequence[Shown] = ()
) -> None:
    """Write the `length` frames of `source` from `start` seconds on as an mp4 with the same levels.

    Raises:
        UserError: frames cannot be read, or no encoder here keeps their pixel format.
    """
    rate = frame_rate(fps)
    with (
        closing(VideoReader(source, fps, shown)) as reader,
        same_priority(),
        av.open(str(clip), "w", format="mp4") as container,
    ):
        stream: av.VideoStream | None = None
        for t, frame in reader.read(start + np.arange(length) / fps):
            if stream is None:
                name = _encoder(frame.format.name, source)
                stream = cast(av.VideoStream, container.add_stream(name, rate=rate, options=_ENCODERS[name]))
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
                stream.codec_context.thread_count = 1
                stream.codec_context.colorspace = frame.colorspace
                stream.codec_context.color_range = frame.color_range
            frame.pts, frame.time_base, frame.pict_type = t, 1 / rate, PictureType.NONE
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())


def _encoder(pix_fmt: str, source: Path) -> str:
    for name in _ENCODERS:
        if pix_fmt in (known.name for known in av.codec.Codec(name, "w").video_formats or ()):
            return name
    raise UserError(
        f"{source}: an episode does not begin with a key frame, and {pix_fmt} cannot be compressed again without loss; "
        "compress the video with ffmpeg so that each frame is a key frame (-g 1)"
    )
