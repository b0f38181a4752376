"""Make docs/images/dreams.gif: scenes of experts on evaluation seeds, the simulator above, and below what the shipped
model of pixels imagines from what it was shown and the actions. The first scene of each task."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from presage.simulator.frames.imagine import as_shipped, session_imagines
from presage.simulator.frames.measure import dream
from presage.simulator.frames.scenes import scenes
from presage.systems.checkpoint import open_model
from presage.systems.shipped import SHIPPED

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "dreams.gif"
TASKS = ("push-v3", "pick-place-v3", "peg-insert-side-v3", "door-open-v3", "drawer-open-v3")
"""Those in which an object goes a long way"""
STEPS, SHOWN, COLOURS = 26, 128, 64


def main() -> None:
    given = scenes("expert", 10, seed=0, workers=0)
    with torch.inference_mode():
        imagined = dream(session_imagines(open_model(SHIPPED), as_shipped()), given)
    rows = [given.task.index(task) for task in TASKS]
    pages = []
    for t in range(STEPS):
        above = np.concatenate([given.frames[row, given.past + t, 0] for row in rows], 1)
        below = np.concatenate([imagined[row, t, 0] for row in rows], 1)
        page = Image.fromarray(np.concatenate([above, below]))
        scale = SHOWN / given.frames.shape[-2]
        size = round(page.width * scale), round(page.height * scale)
        pages.append(page.resize(size, Image.Resampling.BICUBIC).quantize(COLOURS, dither=Image.Dither.NONE))
    pages[0].save(PICTURE, save_all=True, append_images=pages[1:], duration=200, loop=0, optimize=True)
    print(f"{PICTURE.name}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
