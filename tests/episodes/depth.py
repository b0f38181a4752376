"""Videos that are not of 8-bit colours, for tests: written level by level, read back level by level."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from tests.episodes.edited import change_info
from tests.episodes.robots import write_robot

from presage.episodes.dataset import Dataset
from presage.episodes.video import VideoReader, same_priority

KEY = "observation.images.depth"
LENGTH = 5
EPISODES = 3
X265 = "lossless=1:log-level=none:keyint={gop}:min-keyint=1:bframes=0:scenecut=0"
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "hevc": ("libx265", {"x265-params": X265}),
    "h264": ("libx264", {"qp": "0", "g": "{gop}", "bf": "0", "sc_threshold": "0"}),
    "ffv1": ("ffv1", {"level": "3", "g": "{gop}"}),
}


def add_depth(root: Path, codec: str, pix_fmt: str, gop: int, **entry: Any) -> Path:
    """A robot's dataset whose camera `depth` has three episodes of random levels in one file, a key frame every `gop`.

    entry: of the feature in info.json."""
    write_robot(root, ("front", "depth"), episodes=EPISODES, length=LENGTH)
    path = root / f"videos/{KEY}/chunk-000/file-000.mp4"
    name, options = ENCODERS[codec]
    options = {key: value.format(gop=gop) for key, value in options.items()}
    rng = np.random.default_rng(0)
    with same_priority(), av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(name, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        stream.codec_context.thread_count = 1
        for t in range(EPISODES * LENGTH):
            container.mux(stream.encode(_noise(rng, pix_fmt, t)))
        container.mux(stream.encode())
    change_info(root, lambda info: info["features"][KEY].update(entry))
    return root


def _noise(rng: np.random.Generator, pix_fmt: str, t: int) -> av.VideoFrame:
    frame = av.VideoFrame(64, 48, pix_fmt)
    bits = frame.format.components[0].bits
    kind = np.dtype("<u2") if bits > 8 else np.dtype("u1")
    for plane in frame.planes:
        plane.update(rng.integers(0, 2**bits, plane.buffer_size // kind.itemsize).astype(kind).tobytes())
    frame.pts, frame.time_base = t, Fraction(1, 30)
    return frame


def levels(dataset: Dataset, episode: int) -> np.ndarray:
    """(T, bytes) what the planes of the depth frames hold."""
    record = dataset.episodes[episode]
    path, start = record.videos[KEY]
    with closing(VideoReader(dataset.root / path, dataset.fps)) as reader:
        return np.stack([_planes(frame) for _, frame in reader.read(start + np.arange(record.length) / dataset.fps)])


def _planes(frame: av.VideoFrame) -> np.ndarray:
    size = (frame.format.components[0].bits + 7) // 8
    lines = [
        (np.frombuffer(memoryview(p), np.uint8).reshape(p.height, p.line_size), p.width * size) for p in frame.planes
    ]
    return np.concatenate([plane[:, :width].reshape(-1) for plane, width in lines])
