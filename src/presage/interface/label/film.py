"""A recorded episode as a film that a browser loops: all cameras side by side."""

import math

import numpy as np

from presage.episodes.dataset import Dataset
from presage.episodes.video import Convert
from presage.results.clips import GAP, GREY, REST_SECONDS, encode_mp4

HEIGHT = 256
"""Pixels of a picture: what was recorded smaller is enlarged"""
FASTEST = 15.0
"""Frames a second, at most: more show no more of how it ended"""


def film(dataset: Dataset, place: int) -> bytes:
    """The episode at a place as an mp4. Its last frame is in it, and stays for a moment.

    Raises:
        UserError: a video is missing or damaged.
    """
    stride = max(1, math.ceil(dataset.fps / FASTEST - 1e-6))
    rows = np.arange(dataset.episodes[place].length - 1, -1, -stride)[::-1]
    seen = [next(dataset.iterate_frames([place], camera, _of_height(HEIGHT)))[rows] for camera in dataset.cameras]
    bar = np.full((len(rows), HEIGHT, GAP, 3), GREY, np.uint8)
    parts = [part for pictures in seen for part in (bar, pictures)][1:]
    shown = np.concatenate(parts, 2)
    fps = dataset.fps / stride
    return encode_mp4(np.concatenate([shown, shown[-1:].repeat(math.ceil(REST_SECONDS * fps), 0)]), fps)


def _of_height(height: int) -> Convert:
    """(H, W, 3) uint8 -> (height, W', 3) in the same proportions, W' even as videos want it."""
    from PIL import Image

    def convert(picture: np.ndarray) -> np.ndarray:
        width = max(2, 2 * round(picture.shape[1] / picture.shape[0] * height / 2))
        return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))

    return convert
