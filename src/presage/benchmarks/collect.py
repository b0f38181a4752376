"""Recording rate: `presage collect` itself, from the call to the finished dataset, start of the workers included."""

import tempfile
from pathlib import Path
from typing import Any

from presage.benchmarks.common import BenchArgs
from presage.worlds.collect import collect
from presage.worlds.instructions import MT10

WORKERS = 2


def run(args: BenchArgs) -> dict[str, Any]:
    """Record the ten tasks into a temporary dataset. `episodes` per task: 40, about 10,000 rows.

    A row holds one image per camera, two here. `frames_per_s` counts rows, the conservative reading; `images_per_s`
    counts images.
    """
    episodes = args.episodes or (1 if args.quick else 40)
    with tempfile.TemporaryDirectory() as folder:
        figures = collect(Path(folder) / "bench", MT10, episodes, seed=args.seed, workers=WORKERS)
    return {
        "frames_per_s": figures["rows_per_s"],
        "images_per_s": figures["frames_per_s"],
        "frames": figures["rows"],
        "images": figures["frames"],
        "seconds": figures["seconds"],
        "seconds_per_10000_frames": 10_000 / figures["rows_per_s"],
        "workers": WORKERS,
        "pixels": 64,
        "cameras": 2,
    }
