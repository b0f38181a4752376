"""Real beside imagined: as a video that any browser plays, and as a contact sheet for print."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from presage.errors import UserError

SHOWN = 256
"""Screen pixels a side that small frames are enlarged to: 64 would be a stamp."""
GAP = 8
GREY = 128
"""Between the pictures; as visible on a white page as on a black one."""
REST_SECONDS = 1.0
"""The last frame stays for a moment before the loop starts over."""
KEY_SECONDS = 2.0
"""Between key frames, so that a scrubber need not decode a film from its start."""


@dataclass(frozen=True)
class Clip:
    """One episode seen twice: camera -> (T, S, S, 3) uint8, the same T on both sides."""

    title: str
    """What the robot was told."""
    caption: str
    real: dict[str, np.ndarray]
    imagined: dict[str, np.ndarray]
    fps: float


def enlarge(images: np.ndarray) -> np.ndarray:
    """(T, S, S, 3) uint8 at a multiple of its size, smoothed."""
    from PIL import Image

    factor = max(1, SHOWN // images.shape[1])
    size = (images.shape[2] * factor, images.shape[1] * factor)
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in images])


def one_side(frames: dict[str, np.ndarray]) -> np.ndarray:
    """Camera -> (T, S, S, 3) as one film (T, H, W, 3) uint8: enlarged, one camera below the other."""
    rows: list[np.ndarray] = []
    for images in frames.values():
        large = enlarge(images)
        if rows:
            rows.append(np.full((len(large), GAP, large.shape[2], 3), GREY, np.uint8))
        rows.append(large)
    return np.concatenate(rows, 1)


def side_by_side(clip: Clip) -> np.ndarray:
    """(T, H, W, 3) uint8: real on the left, imagined on the right, and a rest at the end."""
    left, right = one_side(clip.real), one_side(clip.imagined)
    film = np.concatenate([left, np.full((*left.shape[:2], GAP, 3), GREY, np.uint8), right], 2)
    return np.concatenate([film, film[-1:].repeat(round(REST_SECONDS * clip.fps), 0)])


def encode_mp4(frames: np.ndarray, fps: float) -> bytes:
    """H.264 with 4:2:0 chroma, which every browser and phone decodes; H and W must be even."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        rate = max(1, round(fps))
        options = {"crf": "23", "preset": "veryfast", "g": str(max(1, round(KEY_SECONDS * rate)))}
        stream = container.add_stream("libx264", rate=rate, options=options)
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
    return np.concatenate([enlarge(images) for images in frames.values()], 2)


def contact_sheet(clips: Sequence[Clip], camera: str, file: Path, columns: int = 8) -> None:
    """A picture: for every clip a row of real and a row of imagined frames, time from left to right.

    Raises:
        UserError: the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from PIL import Image

    side, gap = 128, 4
    width, height = columns * (side + gap) - gap, 2 * side + gap
    figure, axes = plt.subplots(len(clips), 1, figsize=(width / 128 + 0.75, len(clips) * (height / 128 + 0.62)))
    for clip, axis in zip(clips, np.atleast_1d(axes), strict=True):
        times = np.linspace(0, len(clip.real[camera]) - 1, columns).round().astype(int)
        sheet = np.full((height, width, 3), 255, np.uint8)
        for row, frames in enumerate((clip.real[camera], clip.imagined[camera])):
            for column, t in enumerate(times):
                image = Image.fromarray(frames[t]).resize((side, side), Image.Resampling.BICUBIC)
                y, x = row * (side + gap), column * (side + gap)
                sheet[y : y + side, x : x + side] = np.asarray(image)
        axis.imshow(sheet)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0, labelsize=8, labelcolor="#5a6370")
        axis.set_xticks([c * (side + gap) + side / 2 for c in range(columns)], [f"{t / clip.fps:.1f} s" for t in times])
        axis.set_yticks([side / 2, side + gap + side / 2], ["real", "imagined"], fontsize=9, color="#15181c")
        axis.set_title(f"“{clip.title}”", loc="left", fontsize=10, weight="bold")
    figure.tight_layout(pad=0.3, h_pad=0.9)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=140, facecolor="white")
    except OSError as error:
        raise UserError(f"cannot write the picture {file}: {error.strerror}; choose another place") from None
    finally:
        plt.close(figure)


def imagine_again(model: Any, episodes: Sequence[Any]) -> list[tuple[dict[str, np.ndarray], float, float]]:
    """For every recorded episode: frames dreamed from its first frame and its actions, camera -> (T, S, S, 3), their
    PSNR against the real ones, and that of the first frame repeated (both without the first frame itself)."""
    from presage.measures.video import psnr
    from presage.networks.base import step
    from presage.timeline.session import Session

    out = []
    for episode in episodes:
        session = Session(model, [episode.instruction], float("nan"))
        first = {f"image.{camera}": frames[:1] for camera, frames in episode.frames.items()}
        session.observe({**first, "state": episode.states[:1]})
        frames = {camera: [frames[0]] for camera, frames in episode.frames.items()}
        for chunk in episode.actions:
            block = step(session, chunk[None])
            for camera, image in model.decode_images(block.values).items():
                frames[camera.removeprefix("image.")].append(image[0])
        imagined = {camera: np.stack(images) for camera, images in frames.items()}
        cameras = list(imagined)
        real = np.concatenate([episode.frames[c][1:] for c in cameras])
        still = np.concatenate([np.broadcast_to(episode.frames[c][:1], episode.frames[c][1:].shape) for c in cameras])
        matched = psnr(np.concatenate([imagined[c][1:] for c in cameras]), real)
        out.append((imagined, matched, psnr(still, real)))
    return out


def choose_episodes(results: Sequence[Any], success: bool, count: int) -> list[Any]:
    """Up to `count` episodes of that outcome that have a second frame: the first of every task, then the second, ..."""
    pool = [r for r in results if r.success == success and r.steps > 0]
    turn = [sum(other.task == r.task for other in pool[:i]) for i, r in enumerate(pool)]
    return [pool[i] for i in sorted(range(len(pool)), key=turn.__getitem__)][: max(0, count)]


def recall(model: Any, episodes: Sequence[Any]) -> list[Clip]:
    """Recorded episodes beside the dream of the same actions; the caption says the outcome and how well the dream
    fits."""
    clips = []
    for episode, (imagined, matched, repeated) in zip(episodes, imagine_again(model, episodes), strict=True):
        seconds = episode.steps / model.fps
        outcome = f"Reached after {seconds:.1f} s." if episode.success else f"Not reached within {seconds:.1f} s."
        caption = f"{outcome} The dream matches at {matched:.0f} dB, the first frame repeated at {repeated:.0f} dB."
        clips.append(Clip(episode.instruction, caption, episode.frames, imagined, model.fps))
    return clips
