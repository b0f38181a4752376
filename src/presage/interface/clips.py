"""Real beside imagined: as a video that any browser plays, and as a contact sheet for print."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from presage.errors import UserError

ENLARGE = 4
"""Screen pixels per pixel of the model: 64 would be a stamp."""
GAP = 8
GREY = 128
"""Between the pictures; as visible on a white page as on a black one."""
REST_SECONDS = 1.0
"""The last frame stays for a moment before the loop starts over."""


@dataclass(frozen=True)
class Clip:
    """One episode seen twice: camera -> (T, S, S, 3) uint8, the same T on both sides."""

    title: str
    """What the robot was told."""
    caption: str
    real: dict[str, np.ndarray]
    imagined: dict[str, np.ndarray]
    fps: float


def side_by_side(clip: Clip) -> np.ndarray:
    """(T, H, W, 3) uint8: real on the left, imagined on the right, one camera below the other, enlarged."""
    from PIL import Image

    def enlarge(image: np.ndarray) -> np.ndarray:
        size = (image.shape[1] * ENLARGE, image.shape[0] * ENLARGE)
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))

    frames = []
    for t in range(len(next(iter(clip.real.values())))):
        rows: list[np.ndarray] = []
        for camera in clip.real:
            left, right = enlarge(clip.real[camera][t]), enlarge(clip.imagined[camera][t])
            gap = np.full((left.shape[0], GAP, 3), GREY, np.uint8)
            row = np.concatenate([left, gap, right], 1)
            if rows:
                rows.append(np.full((GAP, row.shape[1], 3), GREY, np.uint8))
            rows.append(row)
        frames.append(np.concatenate(rows))
    rest = round(REST_SECONDS * clip.fps)
    return np.stack(frames + frames[-1:] * rest)


def encode_mp4(frames: np.ndarray, fps: float) -> bytes:
    """H.264 with 4:2:0 chroma, which every browser and phone decodes; H and W must be even."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=round(fps), options={"crf": "23", "preset": "veryfast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def save_videos(folder: Path, videos: dict[str, np.ndarray], fps: float) -> None:
    """Write `<name>.mp4` for every name -> (T, H, W, 3) uint8.

    Raises:
        UserError: the folder cannot be written.
    """
    encoded = {name: encode_mp4(frames, fps) for name, frames in videos.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in encoded.items():
            temporary = folder / f"{name}.mp4.partial"
            temporary.write_bytes(data)
            temporary.replace(folder / f"{name}.mp4")
    except OSError as error:
        raise UserError(f"cannot write videos to {folder}: {error.strerror}; choose another folder") from None


def cameras_side_by_side(frames: dict[str, np.ndarray]) -> np.ndarray:
    """Camera -> (T, S, S, 3) as one enlarged video (T, H, W, 3), the cameras from left to right."""
    joined = np.concatenate(list(frames.values()), 2)
    return joined.repeat(ENLARGE, 1).repeat(ENLARGE, 2)


def contact_sheet(clips: Sequence[Clip], camera: str, file: Path, columns: int = 8) -> None:
    """A picture: for every clip a row of real and a row of imagined frames, time from left to right.

    Raises:
        UserError: the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2 * len(clips), columns, figsize=(columns * 1.15, len(clips) * 2.62), squeeze=False)
    figure.subplots_adjust(left=0.085, right=0.995, top=1 - 0.24 / (2.62 * len(clips)), bottom=0.01, wspace=0.03)
    for i, clip in enumerate(clips):
        total = len(clip.real[camera])
        times = np.linspace(0, total - 1, columns).round().astype(int)
        for j, (name, frames) in enumerate((("real", clip.real), ("imagined", clip.imagined))):
            for column, t in enumerate(times):
                axis = axes[2 * i + j, column]
                axis.imshow(frames[camera][t], interpolation="bicubic")
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set_visible(False)
                if j == 0:
                    axis.set_title(f"{t / clip.fps:.1f} s", fontsize=8, color="#555555", pad=2)
            axes[2 * i + j, 0].set_ylabel(name, fontsize=9, color="#15181c" if j == 0 else "#1659c7")
        left = axes[2 * i, 0].get_position()
        figure.text(left.x0, left.y1 + 0.045 / len(clips), f"“{clip.title}”", fontsize=9, weight="bold")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=140, facecolor="white")
    except OSError as error:
        raise UserError(f"cannot write the picture {file}: {error.strerror}; choose another place") from None
    finally:
        plt.close(figure)
