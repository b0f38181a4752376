"""A long episode is in memory once: its frames, and next to nothing beside them."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from tests.episodes.edited import DATA, add_column, change_info
from tests.episodes.robots import write_robot

ROWS, SIDE = 1200, 160
MEASURE = """
import sys
from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot
from presage.episodes.steps import Steps
data = Dataset(sys.argv[1])
camera = sys.argv[2]
steps = Steps(data, Robot.from_dataset(data, cameras=[camera], chunk=int(sys.argv[3]))) if len(sys.argv) > 3 else None
def told(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))
def read(episode):
    if steps is None:
        data.frames(episode, camera)
    else:
        for frames in steps.iterate_squares([episode], camera, 160): pass
read(1)  # what libraries need once, and as much for frames as the other
before = told("VmRSS")
read(0)
print((told("VmHWM") - before) / (1200 * 160 * 160 * 3))
"""


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two long episodes; pictures in videos and inside the data file."""
    root = write_robot(tmp_path_factory.mktemp("long") / "arm", episodes=2, length=ROWS, size=(SIDE, SIDE))
    cells = []
    for t in range(2 * ROWS):
        out = io.BytesIO()
        Image.fromarray(np.full((SIDE, SIDE, 3), t % 256, np.uint8)).save(out, "PNG")
        cells.append({"bytes": out.getvalue(), "path": None})
    add_column(root / DATA, "observation.images.inside", pa.array(cells))
    feature = {"dtype": "image", "shape": [SIDE, SIDE, 3], "names": ["height", "width", "channels"]}
    change_info(root, lambda info: info["features"].update({"observation.images.inside": feature}))
    return root


@pytest.mark.parametrize("arguments", [("front",), ("inside",), ("front", "1"), ("front", "30")])
def test_peak_of_reading_one_episode(long: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, long, *arguments], capture_output=True, text=True, check=True)
    assert 0.9 < float(done.stdout) < 1.2
